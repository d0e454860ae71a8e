import type { Core } from './core.js';
import { hasMajority, majorityValue } from './quorum.js';
import { broadcastHeartbeat } from './replication.js';

/**
 * Linearizable reads without a log entry (ReadIndex, §8 and thesis §6.4). A read may be answered from the state at the
 * commit index of its arrival, once a heartbeat round that began after its arrival shows that this leader had not been
 * replaced. Reads that arrive while a round is under way share the next one, so that the cost is per round, not per read.
 */

/** Takes a read; the answer comes in `Ready.reads` or `Ready.readsRefused`. */
export function takeRead(core: Core, context: number): void {
  if (core.role === 'leader') core.readsWaiting.push(context);
  else core.outbox.refuseReads([context]);
}

/** Leader: starts a round for the reads that wait, if none is under way. Called when the Ready is taken. */
export function startReadRound(core: Core): void {
  if (core.readsWaiting.length === 0 || core.readRounds.length > 0) return;
  // Before its first commit a leader does not know how far its predecessors committed (correctness rule 18).
  if (core.log.commitIndex < core.termStartIndex) return;
  const contexts = core.readsWaiting;
  core.readsWaiting = [];
  const index = core.log.commitIndex;
  core.readRounds.push({ round: broadcastHeartbeat(core), index, contexts });
  confirmReads(core);
}

/** Leader: the newest round that a majority acknowledged. */
function confirmedRound(core: Core): number {
  return majorityValue(core.configuration, (id) =>
    id === core.options.id ? core.round : (core.progress.get(id)?.acknowledgedRound ?? 0),
  );
}

/**
 * Leader: whether nobody else can have been elected before `reading` (thesis §6.4.1). Who answered a round grants no vote for
 * an election timeout from then on; so a lease runs from the time of sending, and any majority that elects somebody else has
 * one in it who answered. That needs clocks that run at about the same speed, which ReadIndex does not.
 */
export function holdsLease(core: Core, reading: number): boolean {
  if (core.role !== 'leader' || core.hasGivenUpLease) return false;
  // Before its first commit a leader does not know how far its predecessors committed (correctness rule 18).
  if (core.log.commitIndex < core.termStartIndex) return false;
  const confirmed = confirmedRound(core);
  const sent = core.roundsSent.findLast(({ round }) => round <= confirmed);
  return sent !== undefined && reading < sent.reading + core.options.leaseDuration;
}

/** Leader: answers the reads of every round that a majority acknowledged. */
export function confirmReads(core: Core): void {
  if (core.readRounds.length === 0) return;
  const confirmed = confirmedRound(core);
  while (core.readRounds[0] && core.readRounds[0].round <= confirmed) {
    const round = core.readRounds.shift();
    for (const context of round?.contexts ?? []) {
      core.outbox.confirmRead({ context, index: round?.index ?? 0 });
    }
  }
}

/**
 * CheckQuorum: a leader that has not heard from a majority for an election timeout steps down, so that its clients find
 * the new leader, and so that followers may safely be loyal to a leader they hear (correctness rule 6).
 */
export function checkQuorum(core: Core): void {
  core.quorumCheckElapsedTicks += 1;
  if (core.quorumCheckElapsedTicks < core.options.electionTimeoutTicks) return;
  core.quorumCheckElapsedTicks = 0;
  const alive = hasMajority(
    core.configuration,
    (id) => id === core.options.id || core.progress.get(id)?.recentlyActive === true,
  );
  for (const progress of core.progress.values()) progress.recentlyActive = false;
  if (alive) return;
  const reason = `No majority answered within ${core.options.electionTimeoutTicks} ticks.`;
  core.event('quorumLost', reason);
  core.becomeFollower(core.term, null, `${reason} Stepped down.`);
}
