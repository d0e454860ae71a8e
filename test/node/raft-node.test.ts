import { describe, expect, it } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { LeaderReads } from '../../src/node/leader-reads.js';
import {
  APPEND_BYTES_MAX,
  DEADLINE_TICKS,
  GATHER_MS,
  LEADER_DOUBT_TICKS,
  NONSENSE_REPORT_MS,
  TICK_MS,
  TICKS_AT_ONCE_MAX,
  UNCOMMITTED_BYTES_MAX,
} from '../../src/node/limits.js';
import { configurationOfVoters } from '../../src/raft/configuration.js';
import { EntryKind } from '../../src/raft/types.js';
import { entryAt, memberCalled, threeVoters } from '../raft/core-kit.js';
import { NodeKit, Outcome } from './node-kit.js';

const alone = configurationOfVoters([memberCalled('n1')]);

async function* noChunks(): AsyncGenerator<Uint8Array> {}

describe('a follower', () => {
  async function following() {
    const kit = new NodeKit();
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
    let changes = 0;
    kit.node.onRouteChange(() => {
      changes += 1;
    });
    return { kit, changes: () => changes };
  }

  it('doubts its leader when the connection breaks, until it hears it again', async () => {
    const { kit, changes } = await following();
    kit.node.onUnreachable('n3');
    expect(kit.node.doubtsLeader).toBe(false);
    kit.node.onUnreachable('n2');
    expect([kit.node.doubtsLeader, changes()]).toEqual([true, 0]);
    await kit.hear('heartbeat', { term: 2, round: 2, commitIndex: 1 });
    expect([kit.node.doubtsLeader, changes()]).toEqual([false, 1]);
  });

  it('doubts its leader when three heartbeats are missing, and does not doubt the next one', async () => {
    const { kit, changes } = await following();
    await kit.clock.pass((LEADER_DOUBT_TICKS - TICKS_AT_ONCE_MAX) * TICK_MS);
    expect(kit.node.doubtsLeader).toBe(false);
    await kit.clock.pass(TICKS_AT_ONCE_MAX * TICK_MS);
    expect([kit.node.doubtsLeader, kit.node.raft.leader]).toEqual([true, 'n2']);
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 1 }, 'n3');
    expect([kit.node.doubtsLeader, kit.node.raft.leader, changes()]).toEqual([false, 'n3', 1]);
  });
});

describe('proposals', () => {
  it('are answered with what applying them gave', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const outcome = kit.propose('x');
    await kit.clock.settle();
    expect(outcome.value).toBe('waits');
    await kit.acknowledge(3);
    expect(outcome.value).toBe('x');
  });

  it('that come together leave in one append and one write (group commit)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const writes = kit.log.writes.length;
    const outcomes = ['a', 'b', 'c'].map((text) => kit.propose(text));
    await kit.clock.settle();
    expect(kit.transport.takeNames()).toEqual(['appendEntries n2']);
    expect(kit.log.writes.length).toBe(writes + 1);
    await kit.acknowledge(5);
    expect(outcomes.map((outcome) => outcome.value)).toEqual(['a', 'b', 'c']);
  });

  it('are refused where nobody leads here, with nothing done', async () => {
    const kit = new NodeKit();
    const outcome = kit.propose('x');
    await kit.clock.settle();
    expect([outcome.value, kit.log.writes]).toEqual(['no_leader', []]);
  });

  it('that no member could apply never enter the log', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const { lastIndex } = kit.node.raft;
    kit.stateMachine.refuse = () => 'The command is malformed.';
    const outcome = kit.propose('x');
    await kit.clock.settle();
    expect([outcome.value, kit.node.raft.lastIndex]).toEqual(['bad_request', lastIndex]);
  });

  it('are unknown, not failed, when leadership moves before they are committed (row 26)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const outcome = kit.propose('x');
    await kit.clock.settle();
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 2 });
    expect(outcome.value).toBe('outcome_unknown');
  });

  it("are never answered with another leader's entry at the same index (row 26)", async () => {
    const kit = new NodeKit();
    await kit.lead();
    const outcome = kit.propose('mine');
    await kit.clock.settle();
    const theirs = entryAt(3, 3, new TextEncoder().encode('theirs'));
    // In one go, so that this node notices the loss of leadership and the commit at once.
    kit.node.onMessage({
      type: 'appendEntries',
      from: 'n2',
      fromIncarnation: 'n2-1',
      to: 'n1',
      term: 3,
      previousIndex: 2,
      previousTerm: 2,
      entries: [theirs],
      commitIndex: 3,
    });
    await kit.clock.settle();
    expect(kit.stateMachine.applied.at(-1)).toEqual(theirs);
    expect(outcome.value).toBe('outcome_unknown');
  });

  it('that were committed before leadership moved are answered when they are applied (row 26)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    kit.log.isSlow = true;
    const outcome = kit.propose('x');
    await kit.clock.settle();
    // Committed by the disks of the others; this node applies it when its own has it.
    await kit.acknowledge(3);
    await kit.acknowledge(3, 'n3');
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 2 });
    expect([kit.node.raft.role, outcome.value]).toEqual(['follower', 'waits']);
    kit.log.isSlow = false;
    kit.log.finish();
    await kit.clock.settle();
    expect(outcome.value).toBe('x');
  });

  it('are unknown when their time is up, and may still happen (row 26)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const outcome = kit.propose('x', 30);
    await kit.clock.pass(30 + DEADLINE_TICKS * TICK_MS);
    expect(outcome.value).toBe('outcome_unknown');
    await kit.acknowledge(3);
    expect(kit.stateMachine.applied.at(-1)?.index).toBe(3);
  });

  it('are held while leadership is handed over, and then sent to the new leader (row 8)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    kit.node.change((raft) => raft.transfer('n2'));
    const outcome = kit.propose('x');
    await kit.clock.settle();
    expect([outcome.value, kit.node.raft.lastIndex]).toEqual(['waits', 2]);
    await kit.successorCampaigns();
    expect(outcome.value).toBe('no_leader');
  });

  it('go on when a handover is abandoned (row 8)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    kit.node.change((raft) => raft.transfer('n2'));
    const outcome = kit.propose('x', 5000);
    for (let round = 1; round <= 6; round += 1) {
      await kit.clock.pass(50);
      await kit.hear('heartbeatResponse', { term: 2, round });
    }
    await kit.acknowledge(3);
    expect(outcome.value).toBe('x');
  });

  it('over the bound of uncommitted bytes are refused at once (row 12)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const large = 'x'.repeat(UNCOMMITTED_BYTES_MAX - APPEND_BYTES_MAX);
    const first = kit.propose(large);
    await kit.clock.settle();
    const second = kit.propose(large);
    await kit.clock.settle();
    expect([first.value, second.value]).toEqual(['waits', 'overloaded']);
  });

  it('are refused when the log is full and cannot be compacted', async () => {
    const kit = new NodeKit({ configuration: alone, logEntriesMax: 2 });
    kit.stateMachine.isFlushSlow = true;
    await kit.lead({ commits: false });
    for (const text of ['a', 'b', 'c', 'd']) {
      kit.propose(text);
      await kit.clock.settle();
    }
    const outcome = kit.propose('e');
    await kit.clock.settle();
    expect(outcome.value).toBe('overloaded');
  });
});

describe('reads', () => {
  it('are confirmed by a round of heartbeats (row 18)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const read = new Outcome(kit.node.readIndex(1000));
    await kit.clock.settle();
    expect(read.value).toBe('waits');
    await kit.hear('heartbeatResponse', { term: 2, round: 2 });
    expect(read.value).toBe(2);
  });

  it('are refused when leadership is lost, and nothing was changed', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const read = new Outcome(kit.node.readIndex(1000));
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 2 });
    expect(read.value).toBe('unavailable');
  });

  it('wait for their index to be applied, or until it is too late', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const soon = new Outcome(kit.node.whenApplied(3, 1000));
    const never = new Outcome(kit.node.whenApplied(99, 40));
    kit.propose('x');
    await kit.clock.settle();
    await kit.acknowledge(3);
    await kit.clock.pass(40 + DEADLINE_TICKS * TICK_MS);
    expect([soon.value, never.value]).toEqual([undefined, 'unavailable']);
  });
});

describe('the end', () => {
  it('comes with a failed write: whoever waits learns that the outcome is unknown, and nothing leaves (row 30)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    kit.log.isSlow = true;
    const outcome = kit.propose('x');
    await kit.clock.settle();
    kit.transport.sent.length = 0;
    kit.log.fail(new Error('The disk is full.'));
    await kit.clock.pass(200);
    expect(kit.deaths).toEqual([new Error('The disk is full.')]);
    expect([outcome.value, kit.transport.sent]).toEqual(['outcome_unknown', []]);
    expect(new Outcome(kit.node.readIndex(10)).value).toBe('waits');
    await kit.hear('heartbeat', { term: 9, round: 1, commitIndex: 0 });
    expect(kit.transport.sent).toEqual([]);
  });

  it('does not come when a member shows that this node lost what it had acknowledged (rule 24)', async () => {
    const kit = new NodeKit();
    const reads: string[] = [];
    kit.node.onReadsEnd((error) => reads.push(error.message));
    const waiting = new Outcome(kit.node.whenApplied(9, 1000));
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 7 });
    expect([kit.deaths, waiting.value]).toEqual([[], 'unavailable']);
    expect(reads).toEqual([expect.stringContaining('This node is in quarantine')]);
    expect(kit.logger.lines.at(-1)).toContain(
      'This node is in quarantine from now on. The leader says that index 7',
    );
    const [late, proposed] = [new Outcome(kit.node.whenApplied(9, 1000)), kit.propose('x')];
    await kit.clock.settle();
    expect([late.value, proposed.value, kit.transport.sent]).toEqual(['unavailable', 'no_leader', []]);
    expect(kit.node.status().reason).toContain('This node is in quarantine.');
  });

  it.each(['an append', 'a vote'])(
    'of taking part comes before %s is answered whose write was under way (rule 24)',
    async (what) => {
      const kit = new NodeKit();
      kit.log.isSlow = true;
      if (what === 'an append') await kit.follow(2, 1, 1, [entryAt(2, 2)], 1);
      else {
        const request = { term: 2, preVote: false, lastLogIndex: 1, lastLogTerm: 1, call: 7 };
        await kit.hear('requestVote', { ...request, leadershipTransfer: false });
        expect(kit.node.raft.status().vote).toBe('n2');
      }
      await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 7 });
      expect([kit.log.isWriting, kit.node.raft.quarantine]).toEqual([
        true,
        expect.stringContaining('index 7'),
      ]);
      while (kit.log.isWriting) {
        kit.log.finish();
        await kit.clock.settle();
      }
      expect(kit.transport.sent).toEqual([]);
    },
  );

  it('of taking part comes before a snapshot is answered whose write was under way (rule 24)', async () => {
    const kit = new NodeKit();
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
    kit.log.isSlow = true;
    const snapshot = { index: 9, term: 2, configuration: threeVoters };
    const header = { from: 'n2', fromIncarnation: 'n2-1', to: 'n1', term: 2, snapshot };
    const answer = new Outcome(kit.node.onSnapshot(header, noChunks(), true));
    await kit.clock.settle();
    expect([kit.log.isWriting, answer.value]).toEqual([true, 'waits']);
    await kit.hear('heartbeat', { term: 2, round: 2, commitIndex: 99 });
    kit.log.finish();
    await kit.clock.settle();
    expect(answer.value).toEqual({ success: false, matchIndex: 0, term: 2 });
  });

  it('of taking part comes before a snapshot is answered that brings nothing new (rule 24)', async () => {
    const kit = new NodeKit();
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
    const snapshot = { index: 1, term: 1, configuration: threeVoters };
    const header = { from: 'n2', fromIncarnation: 'n2-1', to: 'n1', term: 2, snapshot };
    const answer = new Outcome(kit.node.onSnapshot(header, noChunks(), true));
    await kit.hear('heartbeat', { term: 2, round: 2, commitIndex: 99 });
    expect(answer.value).toEqual({ success: false, matchIndex: 0, term: 2 });
  });

  it('does not come of nonsense, which is counted, and told of once in a while', async () => {
    const kit = new NodeKit();
    const before = kit.node.status();
    for (let count = 0; count < 3; count += 1)
      await kit.hear('heartbeat', { term: 2 ** 53 - 1, round: 1, commitIndex: 1 });
    expect([kit.node.status(), kit.deaths]).toEqual([before, []]);
    expect(kit.node.counters().messagesRefused).toBe(3);
    const told = () => kit.logger.lines.filter((line) => line.includes('no member sends it'));
    expect(told()).toHaveLength(1);
    kit.clock.stall(NONSENSE_REPORT_MS);
    await kit.hear('heartbeat', { term: 2 ** 53 - 1, round: 1, commitIndex: 1 });
    expect(told()[1]).toContain('So were 2 others');
  });

  it('comes when a tick breaks an invariant', async () => {
    const kit = new NodeKit();
    kit.node.raft.tick = () => {
      throw new Error('An invariant is broken.');
    };
    await kit.clock.pass(100);
    expect(kit.deaths).toEqual([new Error('An invariant is broken.')]);
  });

  it('on request finishes what was accepted, hands leadership over and closes the state', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const outcome = kit.propose('x');
    await kit.clock.settle();
    const stopped = new Outcome(kit.node.stop(1000, Promise.resolve()));
    const refused = kit.propose('y');
    await kit.acknowledge(3);
    await kit.clock.pass(20);
    expect([outcome.value, refused.value]).toEqual(['x', 'shutting_down']);
    expect(kit.transport.takeNames()).toContain('timeoutNow n2');
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 3 });
    await kit.clock.pass(20);
    expect([stopped.value, kit.stateMachine.isClosed]).toEqual([undefined, true]);
  });

  it.each([
    ['no_space', undefined],
    ['storage_damaged', 'storage_damaged'],
  ] as const)('on request with a last flush that fails with %s ends with: %s', async (code, expected) => {
    const kit = new NodeKit();
    await kit.lead();
    kit.stateMachine.close = () => Promise.reject(new RaftkvError(code, 'It cannot be written.'));
    const stopped = new Outcome(kit.node.stop(5000, Promise.resolve()));
    await kit.clock.pass(1500);
    expect(stopped.value).toBe(expected);
    const lines = kit.logger.lines.filter((line) => line.includes('could not be flushed'));
    expect(lines).toHaveLength(code === 'no_space' ? 1 : 0);
  });

  it('on request does not wait for a successor when nobody is there any more', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const stopped = new Outcome(kit.node.stop(5000, Promise.resolve()));
    await kit.clock.pass(1500);
    expect([stopped.value, kit.stateMachine.isClosed]).toEqual([undefined, true]);
  });

  it('on request does not wait longer than it was told for those who do not answer', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const outcome = kit.propose('x', 60_000);
    await kit.clock.settle();
    const stopped = new Outcome(kit.node.stop(100, Promise.resolve()));
    await kit.clock.pass(150);
    expect([outcome.value, stopped.value]).toEqual(['outcome_unknown', undefined]);
  });
});

describe('the end of a follower', () => {
  it('comes when the reads that it accepted are answered, and it applies what they wait for until then', async () => {
    const kit = new NodeKit();
    let finishDraining = () => {};
    const drained = new Promise<void>((resolve) => {
      finishDraining = resolve;
    });
    const stopped = new Outcome(kit.node.stop(5000, drained));
    const read = new Outcome(kit.node.whenApplied(2, 1000));
    await kit.clock.pass(100);
    expect([read.value, stopped.value, kit.stateMachine.isClosed]).toEqual(['waits', 'waits', false]);
    await kit.follow(2, 1, 1, [entryAt(2, 2, new TextEncoder().encode('x'))], 2);
    await kit.clock.settle();
    expect(read.value).toBe(undefined);
    finishDraining();
    await kit.clock.pass(20);
    expect([stopped.value, kit.stateMachine.isClosed]).toEqual([undefined, true]);
  });

  it('does not wait longer than it was told for reads, and leaves none without an answer', async () => {
    const kit = new NodeKit();
    const stopped = new Outcome(kit.node.stop(100, new Promise(() => {})));
    const before = new Outcome(kit.node.whenApplied(9, 60_000));
    await kit.clock.pass(150);
    expect([before.value, stopped.value]).toEqual(['unavailable', undefined]);
    const after = new Outcome(kit.node.whenApplied(9, 60_000));
    const place = new Outcome(kit.node.whenConfigured({ index: 9, term: 2 }, 60_000));
    await kit.clock.settle();
    expect([after.value, place.value]).toEqual(['shutting_down', 'outcome_unknown']);
  });
});

describe('peers', () => {
  it('are set when the configuration changes, and not otherwise', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const calls = kit.transport.peers.length;
    expect(kit.transport.peers.at(-1)?.map((peer) => peer.id)).toEqual(['n2', 'n3']);
    kit.propose('x');
    await kit.clock.settle();
    await kit.acknowledge(3);
    expect(kit.transport.peers).toHaveLength(calls);
    kit.node.change((raft) => raft.proposeChange({ kind: 'addLearner', member: memberCalled('n4') }));
    await kit.clock.settle();
    expect(kit.transport.peers.at(-1)?.map((peer) => peer.address)).toEqual([
      'n2:7000',
      'n3:7000',
      'n4:7000',
    ]);
  });

  it('that were removed stay connected until they know it (row 17)', async () => {
    const kit = new NodeKit();
    await kit.lead();
    kit.node.change((raft) => raft.proposeChange({ kind: 'remove', id: 'n3' }));
    await kit.clock.settle();
    expect(kit.transport.peers.at(-1)?.map((peer) => peer.id)).toEqual(['n2', 'n3']);
    await kit.acknowledge(3);
    await kit.acknowledge(3, 'n3');
    await kit.clock.pass(50);
    const round = Math.max(...kit.transport.sent.map((sent) => (sent.type === 'heartbeat' ? sent.round : 0)));
    await kit.hear('heartbeatResponse', { term: 2, round }, 'n3');
    await kit.clock.pass(10);
    expect(kit.transport.peers.at(-1)?.map((peer) => peer.id)).toEqual(['n2']);
  });
});

describe('a cluster of one', () => {
  it('commits with its own disk, and only then (row 2)', async () => {
    const kit = new NodeKit({ configuration: alone });
    await kit.lead({ commits: false });
    kit.log.isSlow = true;
    const outcome = kit.propose('x');
    await kit.clock.settle();
    expect(outcome.value).toBe('waits');
    kit.log.isSlow = false;
    kit.log.finish();
    await kit.clock.settle();
    expect(outcome.value).toBe('x');
    expect(kit.stateMachine.applied.map((entry) => entry.kind)).toEqual([EntryKind.noop, EntryKind.command]);
  });
});

it('answers reads that were accepted before it was told to stop, and have not been asked about yet', async () => {
  const kit = new NodeKit();
  await kit.lead();
  const reads = new LeaderReads(kit.clock, (timeoutMs) => kit.node.readIndex(timeoutMs));
  kit.node.finishesFirst(() => reads.size > 0);
  const lastRound = () =>
    kit.transport.sent.reduce(
      (last, sent) => (sent.type === 'heartbeat' ? Math.max(last, sent.round) : last),
      0,
    );
  const first = new Outcome(reads.index(1000));
  await kit.clock.pass(1);
  const second = new Outcome(reads.index(1000));
  await kit.clock.pass(1);
  void kit.node.stop(5000, new Promise(() => {}));
  for (let answers = 0; answers < 2; answers += 1) {
    await kit.hear('heartbeatResponse', { term: kit.node.raft.term, round: lastRound() });
    await kit.clock.pass(GATHER_MS + 1);
  }
  expect([first.value, second.value]).toEqual([2, 2]);
});
