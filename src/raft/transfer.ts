import { allVoters, isVoter } from './configuration.js';
import type { Core } from './core.js';
import { bestSuccessor } from './replication.js';
import type { Index, NodeId } from './types.js';

/**
 * Leadership transfer (thesis §3.10): the leader takes no more proposals, brings the target's log up to its own, and asks
 * it to campaign at once. The target's vote request says that the leader wished it, so nobody's loyalty stands in the way.
 */

/** Starts a handover and returns its target, or a sentence that says why it cannot be. */
export function startTransfer(core: Core, to: NodeId | undefined): { to: NodeId } | string {
  if (core.role !== 'leader') return 'Only the leader can hand leadership over.';
  const target = to ?? bestSuccessor(core);
  if (target === undefined) return 'No other voter is reachable.';
  if (target === core.options.id) return `${target} leads already.`;
  if (!isVoter(core.configuration, target)) return `${target} is not a voter.`;
  if (core.transfer?.to === target) return { to: target };
  core.transfer = { to: target, startedAtTick: core.now, sent: false };
  core.event('transferStarted', `Handing leadership over to ${target}.`);
  return { to: target };
}

/** Leader: tells the target to campaign as soon as its whole log is on disk there. */
export function continueTransfer(core: Core): void {
  const { transfer } = core;
  if (!transfer || transfer.sent) return;
  if (core.progress.get(transfer.to)?.match !== core.log.lastIndex) return;
  transfer.sent = true;
  sendTimeoutNow(core, transfer.to);
}

/** From here on the target may win at any time, whoever is loyal to this leader: no lease in this term (rule 19). */
export function sendTimeoutNow(core: Core, to: NodeId): void {
  core.hasGivenUpLease = true;
  core.outbox.send({ type: 'timeoutNow', ...core.envelope(to) });
}

/** Leader: gives the handover up after an election timeout, or when the target left (correctness rule 8). */
export function tickTransfer(core: Core): void {
  const { transfer } = core;
  if (!transfer) return;
  const isOverdue = core.now - transfer.startedAtTick >= core.options.electionTimeoutTicks;
  if (!isOverdue && isVoter(core.configuration, transfer.to)) return;
  core.transfer = null;
  core.event('transferAbandoned', `${transfer.to} did not take over in time; this node leads on.`);
}

/**
 * Leader: its disk has not finished a write whose entries another voter has had on disk for an election timeout. Clients would
 * wait for ever, since heartbeats do not need the disk; so it hands over, or steps down (correctness rule 7). The time counts
 * from the other voter's acknowledgement: while all disks are as late, as on a busy machine, nobody would lead better.
 */
export function yieldIfDiskStalls(core: Core): void {
  const pending = core.log.oldestPendingWrite;
  if (pending === undefined || !isOnAnotherDisk(core, pending.lastIndex)) {
    core.lateWrite = null;
    return;
  }
  const { sequence } = pending;
  if (core.lateWrite?.sequence !== sequence) core.lateWrite = { sequence, sinceTick: core.now - 1 };
  const { electionTimeoutTicks, heartbeatTicks } = core.options;
  const heldUpTicks = core.heldUpWrite === sequence ? electionTimeoutTicks - heartbeatTicks : 0;
  const lateTicks = core.now - core.lateWrite.sinceTick + heldUpTicks;
  if (lateTicks > 2 * electionTimeoutTicks) {
    core.becomeFollower(
      core.term,
      null,
      `A write to this disk has been pending for ${lateTicks} ticks, and another voter has it on disk.`,
    );
  } else if (lateTicks >= electionTimeoutTicks && lateTicks < 2 * electionTimeoutTicks) {
    // Again on each tick, for as long as nobody is there to take over.
    if (!core.transfer) startTransfer(core, undefined);
  }
}

/**
 * Leader: the process got no turn for this many ticks, which were not counted. If a write was pending, clients have waited as long
 * as for a stalled disk. The write may only have got no turn either, so it has one more heartbeat period until this leader yields.
 */
export function noteHeldUp(core: Core, ticks: number): void {
  if (core.role !== 'leader' || ticks < core.options.electionTimeoutTicks) return;
  core.heldUpWrite = core.log.oldestPendingWrite?.sequence ?? null;
}

/** Whether a voter other than this node has the log on disk up to this index. */
function isOnAnotherDisk(core: Core, index: Index): boolean {
  return allVoters(core.configuration).some(
    (id) => id !== core.options.id && (core.progress.get(id)?.match ?? 0) >= index,
  );
}
