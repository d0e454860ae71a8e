import { allVoters, isVoter } from './configuration.js';
import type { Core } from './core.js';
import { bestSuccessor } from './replication.js';
import type { NodeId } from './types.js';

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
 * Leader: its own disk has not finished a write for an election timeout. The others would wait for ever, since heartbeats
 * do not need the disk; so it hands over to somebody whose disk works, or steps down (correctness rule 7).
 */
export function yieldIfDiskStalls(core: Core): void {
  const since = core.log.oldestOutstandingTick;
  if (since === undefined || isAlone(core)) return;
  const stalledTicks = core.now - since;
  const { electionTimeoutTicks } = core.options;
  if (stalledTicks > 2 * electionTimeoutTicks) {
    core.becomeFollower(core.term, null, `A write to this disk has been pending for ${stalledTicks} ticks.`);
  } else if (stalledTicks >= electionTimeoutTicks && stalledTicks < 2 * electionTimeoutTicks) {
    // Again on each tick, for as long as nobody is there to take over.
    if (!core.transfer) startTransfer(core, undefined);
  }
}

/**
 * Leader: the process got no turn for so many ticks, which were not counted. If a write is still pending, clients have waited
 * as long as for a stalled disk, and what held this process up may do so again: somebody else had better lead (rule 7).
 */
export function yieldIfHeldUp(core: Core, ticks: number): void {
  if (core.role !== 'leader' || isAlone(core)) return;
  if (ticks < core.options.electionTimeoutTicks || core.log.oldestOutstandingTick === undefined) return;
  if (!core.transfer) startTransfer(core, undefined);
}

/** Whether nobody else could lead. */
function isAlone(core: Core): boolean {
  return allVoters(core.configuration).every((id) => id === core.options.id);
}
