import { describe, expect, it } from 'vitest';
import { WITHDRAWAL_HANDOVER_MS } from '../../src/node/limits.js';
import { NodeKit, Outcome } from './node-kit.js';

const REASON = "The node's state is damaged: it says so.";

/** A node whose disk was found damaged while it runs (rule 29). */
describe('a node that withdraws', () => {
  it('reads nothing from that moment on, and hands leadership over before it goes into quarantine', async () => {
    const kit = new NodeKit();
    await kit.lead();
    await kit.acknowledge(2);
    const ended: string[] = [];
    kit.node.onReadsEnd((error) => ended.push(error.message));
    const waiting = new Outcome(kit.node.whenApplied(9, 1000));
    const withdrawn = new Outcome(kit.node.withdraw(REASON));
    await kit.clock.settle();
    expect(kit.node.whyUnreadable()?.message).toContain(REASON);
    expect([kit.node.quarantine, kit.node.raft.quarantine, kit.node.raft.role]).toEqual([
      REASON,
      null,
      'leader',
    ]);
    expect([waiting.value, ended]).toEqual(['unavailable', [expect.stringContaining(REASON)]]);
    expect(kit.transport.takeNames()).toContain('timeoutNow n2');
    await kit.successorCampaigns();
    await kit.clock.pass(20);
    // The successor may need its vote.
    expect([kit.node.raft.role, kit.node.raft.quarantine, withdrawn.value]).toEqual([
      'follower',
      null,
      'waits',
    ]);
    await kit.hear('heartbeat', { term: 3, round: 1, commitIndex: 2 });
    await kit.clock.pass(20);
    expect([kit.node.raft.quarantine, withdrawn.value]).toEqual([REASON, undefined]);
    expect(kit.deaths).toEqual([]);
  });

  it('goes into quarantine at once where it follows, and tells of it once', async () => {
    const kit = new NodeKit();
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 1 });
    await kit.node.withdraw(REASON);
    await kit.node.withdraw('Something else.');
    await kit.clock.settle();
    expect(kit.node.raft.quarantine).toBe(REASON);
    expect(kit.logger.lines.filter((line) => line.includes('in quarantine'))).toEqual([
      expect.stringContaining(`This node is in quarantine from now on. ${REASON}`),
    ]);
  });

  it('goes into quarantine where nobody takes over', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const withdrawn = new Outcome(kit.node.withdraw(REASON));
    await kit.clock.pass(WITHDRAWAL_HANDOVER_MS + 100);
    expect([kit.node.raft.quarantine, kit.node.raft.role, withdrawn.value]).toEqual([
      REASON,
      'follower',
      undefined,
    ]);
  });
});
