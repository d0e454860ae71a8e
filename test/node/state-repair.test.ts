import { describe, expect, it } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import {
  REPAIR_FAILURE_PAUSE_MS,
  REPAIR_PERIOD_MS,
  REPAIR_RETRY_MS,
  SNAPSHOT_STALL_MS,
} from '../../src/node/limits.js';
import { type RepairedLog, type RestoredStore, StateRepair } from '../../src/node/state-repair.js';
import { configurationOfVoters } from '../../src/raft/configuration.js';
import { type Entry, EntryKind, type SnapshotMetadata } from '../../src/raft/types.js';
import type { ForwardRequest, Peer, SnapshotHeader } from '../../src/transport/contract.js';
import { memberCalled, threeVoters } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger, Pending } from './fakes.js';

const NOW_MS = 1_800_000_000_000;
const alone = configurationOfVoters([memberCalled('n1')]);

function entry(index: number, term: number): Entry {
  return { index, term, kind: EntryKind.command, payload: new Uint8Array(0) };
}

/** n1 with a whole log, indexes 11 to 20 of term 3 of which 18 are known to be committed, and no state. */
class Repair {
  readonly clock = new FakeClock();
  readonly logger = new FakeLogger();
  readonly asked: { readonly to: string; readonly request: ForwardRequest }[] = [];
  readonly named: unknown[][] = [];
  readonly abandoned: string[] = [];
  readonly abort = new AbortController();
  /** What each member answers; those that are not here do not lead. */
  readonly answers = new Map<string, unknown>();
  /** Where the others are, as far as the repair knows. */
  peers: readonly Peer[] = [];
  /** What holds up the writing of a snapshot. */
  writing: Pending<void> | null = null;
  /** What holds up the closing of a store whose snapshot broke off. */
  closing: Pending<void> | null = null;
  /** Stores that are being written. */
  openCount = 0;
  result: { readonly storeName: string } | null = null;
  failure: unknown;
  private count = 1;
  private readonly repair: StateRepair<RestoredStore>;

  constructor() {
    const log: RepairedLog = {
      hardState: { term: 5, vote: 'n2', commit: 18 },
      compacted: { index: 10, term: 2, configuration: threeVoters },
      entries: Array.from({ length: 10 }, (_, at) => entry(11 + at, 3)),
      lastIndex: 20,
      repair: undefined,
      replaceState: async (...parameters) => {
        this.named.push(parameters);
      },
    };
    this.repair = new StateRepair<RestoredStore>({
      identity: () => ({ id: 'n1', incarnation: 'n1-1' }) as never,
      log,
      transport: {
        setPeers: (peers) => {
          this.peers = peers;
        },
        forward: async (to, request) => {
          this.asked.push({ to, request });
          const answer = this.answers.get(to) ?? new RaftkvError('no_leader', 'It does not lead.');
          if (answer instanceof Error) throw answer;
          return Buffer.from(JSON.stringify(answer));
        },
      },
      clock: this.clock,
      wallClockMs: () => NOW_MS,
      logger: this.logger,
      restore: async (_, chunks) => {
        this.openCount += 1;
        try {
          for await (const _chunk of chunks);
        } catch (error) {
          await this.closing?.promise;
          this.openCount -= 1;
          throw error;
        }
        await this.writing?.promise;
        this.openCount -= 1;
        this.count += 1;
        const storeName = `state-${this.count}`;
        return {
          storeName,
          abandon: async () => {
            this.abandoned.push(storeName);
          },
        };
      },
    });
    this.repair.run(this.abort.signal).then(
      (state) => {
        this.result = state;
      },
      (error: unknown) => {
        this.failure = error;
      },
    );
  }

  get progress(): string {
    return this.repair.progress;
  }

  knows(id: string, incarnation: string): boolean {
    return this.repair.knows(id, incarnation);
  }

  /** A snapshot arrives from n2, unless said otherwise. */
  receive(index: number, term: number, { from = 'n2', fromMember = true, chunks = oneChunk() } = {}) {
    const snapshot: SnapshotMetadata = { index, term, configuration: threeVoters };
    const header: SnapshotHeader = { from, fromIncarnation: `${from}-1`, to: 'n1', term: 6, snapshot };
    return this.repair.onSnapshot(header, chunks, fromMember);
  }
}

async function* oneChunk() {
  yield new Uint8Array(1);
}

/** The connection is gone, of which the receiver does not hear. */
async function* noMoreChunks() {
  yield new Uint8Array(1);
  await new Promise(() => {});
}

describe('a node whose state is damaged (rule 29)', () => {
  it('asks the members for the state of the leader until one leads, and says what it waits for', async () => {
    const repair = new Repair();
    await repair.clock.settle();
    expect(repair.asked.map(({ to }) => to)).toEqual(['n2', 'n3']);
    expect(repair.progress).toBe(
      'repairing its state, and waits for the leader to send it. No member leads that could send it',
    );
    repair.answers.set('n3', { commitIndex: 30, leader: null });
    await repair.clock.pass(REPAIR_RETRY_MS);
    expect(repair.asked.slice(2).map(({ to }) => to)).toEqual(['n2', 'n3']);
    const { request } = repair.asked[3] ?? {};
    expect([request?.operation, JSON.parse(Buffer.from(request?.payload ?? []).toString())]).toEqual([
      'sendState',
      { id: 'n1', incarnation: 'n1-1', fromIndex: 10 },
    ]);
  });

  it('asks a leader that joined, or moved, after its log ends, where another member names it', async () => {
    const repair = new Repair();
    const leader = (id: string, count: number, peer: string) => ({
      commitIndex: null,
      leader: { id, incarnation: `${count}`.repeat(32), peer },
    });
    repair.answers.set('n2', leader('n6', 6, '10.0.0.6:7101'));
    await repair.clock.pass(REPAIR_RETRY_MS);
    expect(repair.asked.map(({ to }) => to)).toEqual(['n2', 'n3', 'n2', 'n3', 'n6']);
    expect(repair.peers.at(-1)).toEqual({
      id: 'n6',
      incarnation: '6'.repeat(32),
      address: '10.0.0.6:7101',
    });
    expect([repair.knows('n6', '6'.repeat(32)), repair.knows('n6', '7'.repeat(32))]).toEqual([true, false]);
    expect(repair.progress).toContain('No member leads that could send it');
    // It is another node of that name now, somewhere else.
    repair.answers.set('n2', leader('n6', 7, '10.0.0.7:7101'));
    repair.answers.set('n6', { commitIndex: 22, leader: null });
    await repair.clock.pass(REPAIR_RETRY_MS);
    expect(repair.peers.filter(({ id }) => id === 'n6')).toEqual([
      { id: 'n6', incarnation: '7'.repeat(32), address: '10.0.0.7:7101' },
    ]);
    expect(repair.knows('n6', '6'.repeat(32))).toBe(false);
    expect(await repair.receive(15, 3, { from: 'n6' })).toMatchObject({ success: true });
  });

  it('does not take itself for a leader that it could ask', async () => {
    const repair = new Repair();
    const leader = { id: 'n1', incarnation: '1'.repeat(32), peer: '10.0.0.1:7101' };
    repair.answers.set('n2', { commitIndex: null, leader });
    await repair.clock.pass(2 * REPAIR_RETRY_MS);
    expect(repair.asked.map(({ to }) => to)).not.toContain('n1');
  });

  it('names the new state and keeps its log where that has the entry at which the snapshot ends', async () => {
    const repair = new Repair();
    repair.answers.set('n2', { commitIndex: 22, leader: null });
    await repair.clock.pass(REPAIR_RETRY_MS);
    expect(await repair.receive(15, 3)).toEqual({ success: true, matchIndex: 15, term: 5 });
    await repair.clock.settle();
    expect(repair.named).toEqual([['state-2', { atMs: NOW_MS, servesFrom: 22 }, null]]);
    expect(repair.result?.storeName).toBe('state-2');
  });

  it('takes a snapshot in place of a log that ends before it', async () => {
    const repair = new Repair();
    repair.answers.set('n2', { commitIndex: 40, leader: null });
    await repair.clock.pass(REPAIR_RETRY_MS);
    await repair.receive(35, 6);
    expect(repair.named).toEqual([
      ['state-2', { atMs: NOW_MS, servesFrom: 40 }, expect.objectContaining({ index: 35, term: 6 })],
    ]);
  });

  it.each([
    ['of a member that was not asked', 15, 3, { from: 'n3' }],
    ['of a sender that has proven nothing', 15, 3, { fromMember: false }],
    ['that ends before its log begins', 9, 2, {}],
    ['that contradicts what its log knows to be committed', 15, 4, {}],
  ])('takes no snapshot %s', async (_, index, term, sender) => {
    const repair = new Repair();
    repair.answers.set('n2', { commitIndex: 22, leader: null });
    await repair.clock.pass(REPAIR_RETRY_MS);
    expect(await repair.receive(index, term, sender)).toMatchObject({ success: false });
    expect([repair.named, repair.result]).toEqual([[], null]);
  });

  it('asks again when nothing comes, and drops what comes after that', async () => {
    const repair = new Repair();
    repair.answers.set('n2', { commitIndex: 22, leader: null });
    repair.writing = new Pending();
    await repair.clock.pass(REPAIR_RETRY_MS);
    const late = repair.receive(15, 3);
    const asked = repair.asked.length;
    await repair.clock.pass(SNAPSHOT_STALL_MS + 2 * REPAIR_RETRY_MS);
    expect(repair.asked.length).toBeGreaterThan(asked);
    repair.writing.resolve();
    expect(await late).toMatchObject({ success: false });
    expect([repair.abandoned, repair.named, repair.result]).toEqual([['state-2'], [], null]);
    repair.writing = null;
    await repair.receive(16, 3);
    await repair.clock.settle();
    expect(repair.result?.storeName).toBe('state-3');
  });

  it('ends a snapshot of which nothing more comes, and has closed its store before another is the state', async () => {
    const repair = new Repair();
    repair.answers.set('n2', { commitIndex: 22, leader: null });
    repair.closing = new Pending();
    await repair.clock.pass(REPAIR_RETRY_MS);
    const silent = expect(repair.receive(15, 3, { chunks: noMoreChunks() })).rejects.toThrow(
      'n2 sends nothing any more',
    );
    await repair.clock.pass(SNAPSHOT_STALL_MS + 2 * REPAIR_RETRY_MS);
    expect(await repair.receive(16, 3)).toMatchObject({ success: true });
    await repair.clock.settle();
    expect([repair.openCount, repair.result]).toEqual([1, null]);
    repair.closing.resolve();
    await silent;
    await repair.clock.settle();
    expect([repair.openCount, repair.result?.storeName]).toEqual([0, 'state-2']);
  });

  it('takes one snapshot at a time, so that no store is removed while another is written', async () => {
    const repair = new Repair();
    repair.answers.set('n2', { commitIndex: 22, leader: null });
    repair.writing = new Pending();
    await repair.clock.pass(REPAIR_RETRY_MS);
    const first = repair.receive(15, 3);
    const writing = repair.writing;
    repair.writing = null;
    expect(await repair.receive(16, 3)).toMatchObject({ success: false });
    expect(repair.named).toEqual([]);
    writing.resolve();
    expect(await first).toEqual({ success: true, matchIndex: 15, term: 5 });
    await repair.clock.settle();
    expect([repair.named.length, repair.result?.storeName]).toEqual([1, 'state-2']);
  });

  it('tells once why a leader does not send its state', async () => {
    const repair = new Repair();
    repair.answers.set('n2', new RaftkvError('unavailable', 'It knows no operation sendState.'));
    await repair.clock.pass(5 * REPAIR_RETRY_MS);
    expect(repair.logger.lines.filter((line) => line.includes('knows no operation'))).toHaveLength(1);
    expect(repair.result).toBeNull();
  });

  it('asks again later when it could not write what came, and stops at once when it is told to', async () => {
    const repair = new Repair();
    repair.answers.set('n2', { commitIndex: 22, leader: null });
    repair.writing = new Pending();
    await repair.clock.pass(REPAIR_RETRY_MS);
    const received = expect(repair.receive(15, 3)).rejects.toThrow('No room.');
    repair.writing.reject(new RaftkvError('no_space', 'No room.'));
    await received;
    await repair.clock.settle();
    const asked = repair.asked.length;
    expect(repair.progress).toContain('n2: No room');
    await repair.clock.pass(REPAIR_FAILURE_PAUSE_MS - 1);
    expect(repair.asked).toHaveLength(asked);
    await repair.clock.pass(1);
    expect(repair.asked[asked]?.to).toBe('n2');
    await repair.receive(9, 1);
    repair.abort.abort(new Error('It stops.'));
    await repair.clock.pass(2 * REPAIR_RETRY_MS);
    expect(repair.failure).toBe(repair.abort.signal.reason);
  });

  it('is not repaired where the others are no majority without it, since none of them could lead', () => {
    const obstacle = (id: string, voters: string[], outgoingVoters: string[] = []) =>
      StateRepair.obstacle(id, { ...threeVoters, voters, outgoingVoters, learners: [] }, undefined, NOW_MS);
    const advice =
      'no majority without this one, so none of them can lead and send its state. Nothing was changed';
    expect(obstacle('n1', ['n1'])).toContain(advice);
    expect(obstacle('n1', ['n1', 'n2'])).toContain(advice);
    expect(obstacle('n1', ['n1', 'n2', 'n3'], ['n1', 'n2'])).toContain(advice);
    expect(obstacle('n3', ['n1', 'n2'])).toBeNull();
    expect(obstacle('n3', ['n1'])).toBeNull();
  });

  it('is not repaired where no other member has a copy, or twice within a day', () => {
    const obstacle = (...[configuration, repairedAtMs]: [typeof threeVoters, number?]) =>
      StateRepair.obstacle(
        'n1',
        configuration,
        repairedAtMs === undefined ? undefined : { atMs: repairedAtMs, servesFrom: 1 },
        NOW_MS,
      );
    expect(obstacle(alone)).toContain('No other member has a copy of the state. Nothing was changed');
    expect(obstacle(threeVoters)).toBeNull();
    expect(obstacle(threeVoters, NOW_MS - REPAIR_PERIOD_MS)).toBeNull();
    expect(obstacle(threeVoters, NOW_MS - 5 * 3_600_000)).toContain(
      'repaired less than a day ago already (5 hours), so this disk cannot be trusted. Nothing was changed: replace the disk',
    );
    // The clock of the machine was set back.
    expect(obstacle(threeVoters, NOW_MS + 3_600_000)).toContain('repaired less than a day ago');
  });
});
