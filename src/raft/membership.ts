import { assert } from '../assert.js';
import {
  applyChange,
  type ConfigurationChange,
  encodeConfiguration,
  isJoint,
  isVoter,
  leaveJoint,
  memberOf,
} from './configuration.js';
import type { Core } from './core.js';
import { reasonAgainstConfiguration } from './entry-checks.js';
import type { Progress } from './progress.js';
import { bestSuccessor, broadcastHeartbeat, followMembers, proposeEntries } from './replication.js';
import { sendTimeoutNow } from './transfer.js';
import { type Configuration, EntryKind, type NodeId } from './types.js';

/**
 * Membership changes: of one server (thesis §4.1), or of any number of voters by joint consensus (§6, thesis §4.3). One at a
 * time, with the correction of 2015 (Ongaro, "bug in single-server membership changes", raft-dev): none before the leader
 * has committed an entry of its own term, because only then does it know that an earlier leader's change is not still
 * under way.
 */

/** Why a change was not started. */
export type ChangeRefusal =
  | { readonly reason: 'notLeader' }
  | { readonly reason: 'changeInProgress'; readonly detail: string }
  | { readonly reason: 'invalid'; readonly detail: string };

/** Leader: appends the configuration after the change, which is in force from then on; or says why not. */
export function proposeChange(core: Core, change: ConfigurationChange): ChangeRefusal | null {
  if (core.role !== 'leader') return { reason: 'notLeader' };
  if (core.log.commitIndex < core.termStartIndex) {
    return { reason: 'changeInProgress', detail: 'This leader is new and has not committed an entry yet.' };
  }
  if (core.configurationIndex > core.log.commitIndex) {
    return {
      reason: 'changeInProgress',
      detail: `The configuration at index ${core.configurationIndex} is not committed yet.`,
    };
  }
  if (isJoint(core.configuration)) {
    return {
      reason: 'changeInProgress',
      detail: 'The voters are being replaced, which is not finished yet.',
    };
  }
  if (core.transfer) return { reason: 'changeInProgress', detail: 'Leadership is being handed over.' };
  const next = applyChange(core.configuration, change);
  if (typeof next === 'string') return { reason: 'invalid', detail: next };
  // Followers refuse what fails this check, so a leader that appended it could never commit anything again.
  const reason = reasonAgainstConfiguration(encodeConfiguration(next));
  if (reason !== null) return { reason: 'invalid', detail: reason };
  appendConfiguration(core, next);
  return null;
}

/**
 * Leader: ends a joint configuration that is committed, whoever began it (correctness rule 14). Only with an entry of its own
 * term committed, like every other change. While leadership is being handed over the successor does it, whose log is to
 * be brought up to this one's.
 */
export function finishJoint(core: Core): void {
  if (!isJoint(core.configuration) || core.transfer) return;
  const { commitIndex } = core.log;
  if (commitIndex < core.termStartIndex || commitIndex < core.configurationIndex) return;
  appendConfiguration(core, leaveJoint(core.configuration));
}

function appendConfiguration(core: Core, configuration: Configuration): void {
  proposeEntries(core, EntryKind.configuration, [encodeConfiguration(configuration)]);
  assert(
    core.configurationIndex === core.log.lastIndex,
    'A configuration is in force as soon as it is in the log.',
  );
  followMembers(core);
}

/**
 * Leader, as often as heartbeats are due: a learner that keeps up becomes a voter by itself, unless somebody has other plans
 * with it. A round is the time in which it receives what the log held when the round began; a round shorter than an
 * election timeout shows that it keeps up well enough not to hold up commits (thesis §4.2.1).
 */
export function promoteLearners(core: Core): void {
  for (const id of core.configuration.learners) {
    const progress = core.progress.get(id);
    if (!progress?.recentlyActive || progress.state !== 'replicate') continue;
    const round = progress.catchUp;
    if (round === null || progress.match < round.target) {
      progress.catchUp ??= { target: core.log.lastIndex, startedAtTick: core.now };
      continue;
    }
    progress.keptUp = core.now - round.startedAtTick <= core.options.electionTimeoutTicks;
    if (progress.keptUp && !core.heldLearners.has(id)) {
      // Refused while another change is pending; the next time tries again.
      if (proposeChange(core, { kind: 'promote', id }) === null) progress.catchUp = null;
    } else {
      progress.catchUp = { target: core.log.lastIndex, startedAtTick: core.now };
    }
  }
}

/**
 * Leader: whether this learner's last round was short enough, and the one under way is not too long already. Nothing is known of a learner
 * that gets no entries: its round stands still, however little was missing when that began.
 */
export function isKeepingUp(core: Core, { state, keptUp, catchUp, match }: Progress): boolean {
  if (state !== 'replicate' || !keptUp || catchUp === null) return false;
  return match >= catchUp.target || core.now - catchUp.startedAtTick <= core.options.electionTimeoutTicks;
}

/** Leader: stops following members that left and were told, or that cannot be told. */
export function dropDeparted(core: Core): void {
  const patienceTicks = DEPARTURE_TIMEOUTS * core.options.electionTimeoutTicks;
  for (const [id, progress] of core.progress) {
    if (progress.departing && core.now - progress.departing.sinceTick > patienceTicks)
      core.progress.delete(id);
  }
}

/** How many election timeouts a removed member gets to hear of its removal. */
const DEPARTURE_TIMEOUTS = 10;

/** A removed node says once why it is idle (correctness rule 17), and again if it should be removed a second time. */
export function tellRemoval(core: Core): void {
  const { isRemoved } = core;
  if (isRemoved && !core.removalIsTold) core.event('removed', removalReason(core));
  core.removalIsTold = isRemoved;
}

/** Sentences that tell why a node has its role; of one in quarantine or removed, why that is, whoever it hears of since. */
export function reasonOf(core: Core): string {
  if (core.quarantine !== null) return `This node is in quarantine. ${core.quarantine}`;
  return core.isRemoved ? removalReason(core) : core.roleReason;
}

function removalReason({ removalHeardFrom, configurationIndex }: Core): string {
  const how =
    removalHeardFrom === null
      ? `at index ${configurationIndex}`
      : `while it was away, says ${removalHeardFrom}`;
  return `This node was removed from the cluster ${how}. To use it again, empty its data directory and start it with --join.`;
}

/**
 * A leader whose removal is committed has done its duty: it tells the others, asks the best of them to take over, and
 * steps down (§6, thesis §4.2.2). Who was removed along with it and has not heard of that hears it from the next leader.
 */
export function stepDownIfRemoved(core: Core): void {
  const removed = !isVoter(core.configuration, core.options.id);
  if (!removed || core.configurationIndex > core.log.commitIndex) return;
  broadcastHeartbeat(core);
  const successor = bestSuccessor(core);
  if (successor !== undefined) sendTimeoutNow(core, successor);
  core.becomeFollower(core.term, null, 'Stepped down after its own removal was committed.');
}

/** Everybody this node may have to send to: the members, and who was removed and is not told yet. */
export function replicationTargets(core: Core): readonly NodeId[] {
  const departing = [...core.progress.keys()].filter((id) => !memberOf(core.configuration, id));
  return [...core.peers, ...departing];
}
