import type { DiskUsage } from '../../src/node/disk-space.js';
import { RaftNode } from '../../src/node/raft-node.js';
import { encodeConfiguration } from '../../src/raft/configuration.js';
import {
  type Configuration,
  type Entry,
  EntryKind,
  type Message,
  type MessageType,
} from '../../src/raft/types.js';
import { threeVoters } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLog, FakeLogger, FakeStateMachine, FakeTransport } from './fakes.js';

type Answer = Omit<
  Extract<Message, { type: 'appendEntriesResponse' }>,
  'type' | 'from' | 'fromIncarnation' | 'to'
>;

/** The node n1 with the shell around it, and a test that plays its disk, its state, its time and its peers. */
export class NodeKit {
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly stateMachine: FakeStateMachine;
  readonly transport = new FakeTransport();
  readonly logger = new FakeLogger();
  readonly deaths: unknown[] = [];
  readonly node: RaftNode<string>;

  constructor({
    configuration = threeVoters,
    logEntriesMax = 1000,
    appliedEntries = [],
    diskUsage,
    traces = false,
  }: {
    readonly configuration?: Configuration;
    readonly logEntriesMax?: number;
    /** What follows the first entry in the log, all of it applied and on disk in the state. */
    readonly appliedEntries?: readonly Entry[];
    readonly diskUsage?: () => Promise<DiskUsage>;
    /** Whether the log takes each message. */
    readonly traces?: boolean;
  } = {}) {
    const lastIndex = 1 + appliedEntries.length;
    this.stateMachine = new FakeStateMachine(lastIndex);
    const first: Entry = {
      index: 1,
      term: 1,
      kind: EntryKind.configuration,
      payload: encodeConfiguration(configuration),
    };
    this.logger.traces = traces;
    this.node = new RaftNode(
      {
        id: 'n1',
        incarnation: 'n1-1',
        restored: {
          hardState: { term: 1, vote: null, commit: lastIndex },
          compacted: { index: 0, term: 0, configuration },
          entries: [first, ...appliedEntries],
          appliedIndex: lastIndex,
          tookPart: false,
        },
        logEntriesMax,
        logBytesMax: 1_000_000,
        appendBytesMax: 1_000_000,
        random: () => 0,
      },
      {
        log: this.log,
        stateMachine: this.stateMachine,
        transport: this.transport,
        clock: this.clock,
        logger: this.logger,
        ...(diskUsage === undefined ? {} : { diskUsage }),
        fatal: (error) => this.deaths.push(error),
      },
    );
    this.node.start();
  }

  /** A message to n1 arrives, from n2 unless said otherwise, and everything follows from it. */
  async hear<Type extends MessageType>(
    type: Type,
    content: Omit<Extract<Message, { type: Type }>, 'type' | 'from' | 'fromIncarnation' | 'to'>,
    from = 'n2',
  ): Promise<void> {
    const message = { ...content, type, from, fromIncarnation: `${from}-1`, to: 'n1' };
    // The content is that of the type; TypeScript does not put the two together again.
    this.node.onMessage(message as unknown as Message);
    await this.clock.settle();
  }

  /** n2 has everything up to this index on disk. */
  acknowledge(matchIndex: number, from = 'n2'): Promise<void> {
    const answer: Answer = {
      term: this.node.raft.term,
      success: true,
      matchIndex,
      rejectedIndex: 0,
      hintIndex: 0,
      hintTerm: 0,
    };
    return this.hear('appendEntriesResponse', answer, from);
  }

  /** n1 is elected with the votes of n2 (in the next term) and commits its no-op, unless told not to. */
  async lead({ commits = true } = {}): Promise<void> {
    const { raft } = this.node;
    for (let ticks = 0; ticks < 100 && raft.role !== 'preCandidate'; ticks += 1) await this.clock.pass(10);
    const term = raft.term + 1;
    if (raft.role === 'preCandidate')
      await this.hear('requestVoteResponse', { term, preVote: true, granted: true, removed: false, call: 0 });
    if (raft.role === 'candidate')
      await this.hear('requestVoteResponse', {
        term,
        preVote: false,
        granted: true,
        removed: false,
        call: 0,
      });
    if (commits) await this.acknowledge(raft.lastIndex);
    this.transport.sent.length = 0;
  }

  /** The node to which n1 hands leadership over campaigns in the next term, with a log as long as that of n1. */
  async successorCampaigns(): Promise<void> {
    const { term, lastIndex: lastLogIndex } = this.node.raft;
    const log = { lastLogIndex, lastLogTerm: term };
    await this.hear('requestVote', {
      ...log,
      term: term + 1,
      preVote: false,
      leadershipTransfer: true,
      call: 0,
    });
  }

  /** Proposes a command and tells what became of it: its result, or the code of the error, or "waits". */
  propose(text: string, timeoutMs = 1000): Outcome {
    return new Outcome(this.node.propose(new TextEncoder().encode(text), timeoutMs));
  }

  /** Another leader of this term takes over and overwrites from `previousIndex + 1` on. */
  async follow(
    term: number,
    previousIndex: number,
    previousTerm: number,
    entries: readonly Entry[],
    commitIndex: number,
  ) {
    await this.hear('appendEntries', { term, previousIndex, previousTerm, entries, commitIndex });
  }
}

/** What became of a promise, to be looked at at any time. */
export class Outcome {
  value: unknown = 'waits';

  constructor(promise: Promise<unknown>) {
    promise.then(
      (value) => {
        this.value = value;
      },
      (error: { readonly code?: string; readonly message: string }) => {
        this.value = error.code ?? error.message;
      },
    );
  }
}
