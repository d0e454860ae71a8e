import { assert } from '../../src/assert.js';
import { configurationOfVoters, encodeConfiguration } from '../../src/raft/configuration.js';
import { Raft } from '../../src/raft/raft.js';
import {
  type Entry,
  EntryKind,
  type Member,
  type Message,
  type MessageType,
  type Ready,
  type Role,
} from '../../src/raft/types.js';

/** A single node, n1, of the cluster n1, n2, n3, whose disk is as fast as the test wants. */

export const memberCalled = (id: string, incarnation = `${id}-1`): Member => ({
  id,
  incarnation,
  peerAddress: `${id}:7000`,
  clientUrl: `http://${id}:8000`,
});

export const threeVoters = configurationOfVoters(['n1', 'n2', 'n3'].map((id) => memberCalled(id)));

/** Entries from index 1 on with these terms; the first is the configuration of the three. */
export function logOfTerms(...terms: readonly number[]): readonly Entry[] {
  return terms.map((term, position) => {
    if (position === 0)
      return { index: 1, term, kind: EntryKind.configuration, payload: encodeConfiguration(threeVoters) };
    return entryAt(position + 1, term);
  });
}

export const entryAt = (index: number, term: number, payload: Uint8Array = Uint8Array.of(term)): Entry => ({
  index,
  term,
  kind: EntryKind.command,
  payload,
});

export interface Start {
  readonly term?: number;
  readonly log?: readonly number[];
  readonly commit?: number;
  readonly logEntriesMax?: number;
  readonly logBytesMax?: number;
  /** Why a command may not enter the log. */
  readonly refuseCommand?: (payload: Uint8Array) => string | null;
}

export function startNode({
  term = 1,
  log = [1],
  commit = 1,
  logEntriesMax = 1000,
  logBytesMax = 1_000_000,
  refuseCommand = () => null,
}: Start = {}): Raft {
  return new Raft(
    {
      id: 'n1',
      incarnation: 'n1-1',
      electionTimeoutTicks: 10,
      heartbeatTicks: 2,
      leaseDuration: 80,
      appendBytesMax: 1000,
      messagesInFlightMax: 4,
      bytesInFlightMax: 10_000,
      uncommittedBytesMax: 10_000,
      logEntriesMax,
      logBytesMax,
      refuseCommand,
      random: () => 0,
    },
    {
      hardState: { term, vote: null, commit },
      compacted: { index: 0, term: 0, configuration: threeVoters },
      entries: logOfTerms(...log),
      appliedIndex: commit,
      tookPart: false,
    },
  );
}

/** Everything that left while the node was run until nothing was left to do, each write on disk at once. */
export function runUntilQuiet(raft: Raft): {
  readonly sent: readonly Message[];
  readonly readies: readonly Ready[];
} {
  const sent: Message[] = [];
  const readies: Ready[] = [];
  while (raft.hasReady()) {
    assert(readies.length < 100, 'A node at rest has nothing more to do.');
    const ready = raft.takeReady();
    readies.push(ready);
    if (ready.persist) raft.persisted(ready.persist.sequence);
    sent.push(...ready.send, ...ready.sendAfterPersist.map((delayed) => delayed.message));
  }
  return { sent, readies };
}

type Content<Type extends MessageType> = Omit<
  Extract<Message, { type: Type }>,
  'type' | 'from' | 'fromIncarnation' | 'to'
> & { readonly from?: string };

/** A message to n1, from n2 unless said otherwise. */
export function message<Type extends MessageType>(type: Type, content: Content<Type>): Message {
  const from = content.from ?? 'n2';
  // The content is that of the type; TypeScript does not put the two together again.
  return { ...content, type, from, fromIncarnation: `${from}-1`, to: 'n1' } as unknown as Message;
}

/** n1 in this role, in term 2, with the log 1/1 (and 2/2, its no-op, as a leader). */
export function nodeInRole(role: Role): Raft {
  const raft = startNode({ term: role === 'candidate' || role === 'leader' ? 1 : 2 });
  if (role === 'follower') return raft;
  for (let count = 0; count < 10; count += 1) raft.tick();
  runUntilQuiet(raft);
  if (role === 'preCandidate') return raft;
  raft.step(
    message('requestVoteResponse', { term: 2, preVote: true, granted: true, removed: false, call: 0 }),
  );
  runUntilQuiet(raft);
  if (role === 'candidate') return raft;
  raft.step(
    message('requestVoteResponse', { term: 2, preVote: false, granted: true, removed: false, call: 0 }),
  );
  runUntilQuiet(raft);
  return raft;
}
