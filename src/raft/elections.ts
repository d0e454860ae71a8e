import { allVoters, knowsIncarnation } from './configuration.js';
import type { Core } from './core.js';
import { hasMajority, isVotedDown } from './quorum.js';
import { broadcastHeartbeat, followDeparted, followMembers, proposeEntries } from './replication.js';
import { EntryKind, type NodeId, type RequestVote, type RequestVoteResponse, TERM_MAX } from './types.js';

/**
 * Elections (§5.2), the restriction on who may win (§5.4.1), PreVote (thesis §9.6), and the stickiness that keeps a node
 * which lost touch from deposing a leader that everybody else still hears.
 */

/** A follower, pre-candidate or candidate counts the time since it heard a leader, and campaigns when it is up. */
export function tickElectionTimer(core: Core): void {
  core.leaderSilenceTicks += 1;
  core.electionElapsedTicks += 1;
  if (core.electionElapsedTicks < core.electionPatienceTicks || !core.mayCampaign) return;
  // A node whose disk is behind its log would claim entries that it may still lose, and would make a poor leader:
  // it campaigns when its writes are done (correctness rule 3).
  if (core.log.durableIndex < core.log.lastIndex) return;
  // Its own vote is still on the way to the disk: with a disk slower than its patience it would start over for ever.
  if (core.ownVoteSequence !== null) return;
  const waited = core.electionElapsedTicks;
  const leader = core.leader;
  preCampaign(
    core,
    leader === null
      ? `No leader emerged within ${waited} ticks.`
      : `Nothing was heard from leader ${leader} for ${waited} ticks.`,
  );
}

/** Asks the others whether they would vote for this node, before it disturbs anybody with a new term. */
function preCampaign(core: Core, reason: string): void {
  core.becomePreCandidate(`${reason} Asking for pre-votes.`);
  core.votes.set(core.options.id, true);
  if (hasMajority(core.configuration, (id) => core.votes.get(id) === true)) {
    campaign(core, false, 'This node is the only voter.');
    return;
  }
  requestVotes(core, true);
}

/** Starts an election in the next term. */
export function campaign(core: Core, isTransfer: boolean, reason: string): void {
  if (core.term >= TERM_MAX) return;
  core.becomeCandidate(isTransfer, `${reason} Campaigning in term ${core.term + 1}.`);
  requestVotes(core, false);
}

function requestVotes(core: Core, preVote: boolean): void {
  for (const to of allVoters(core.configuration)) {
    if (to === core.options.id) continue;
    const request: RequestVote = {
      type: 'requestVote',
      ...core.envelope(to, preVote ? core.term + 1 : core.term),
      preVote,
      lastLogIndex: core.log.lastIndex,
      lastLogTerm: core.log.lastTerm,
      leadershipTransfer: core.campaignIsTransfer,
      call: 0,
    };
    if (preVote) core.outbox.sendUnconditionally(request);
    else core.outbox.sendAfterPersist(request);
  }
}

/**
 * Whether this node still hears a leader, so that somebody else's wish to campaign is no reason to leave it. Safe only
 * because a leader steps down by itself when it does not hear a majority (CheckQuorum, correctness rule 6). It is also what
 * a lease rests on (rule 19), so nothing but time ends it: not a higher term, and not a restart.
 */
export function hearsLeader(core: Core): boolean {
  return core.role === 'leader' || core.leaderSilenceTicks < core.options.electionTimeoutTicks;
}

/**
 * Answers a request whose term is not below this node's; a real request of a higher term has already raised it. The
 * voter's own configuration plays no part: the candidate may be a member that this node has not heard of (row 4).
 */
export function handleRequestVote(core: Core, message: RequestVote): void {
  const freeToVote =
    core.vote === message.from ||
    (core.vote === null && core.leader === null) ||
    (message.preVote && message.term > core.term);
  const upToDate = core.log.isUpToDate(message.lastLogIndex, message.lastLogTerm);
  // A vote in a term that this node knows already is a vote against the leader it hears, too: it may have learned of the term
  // after it answered that leader's heartbeat (rule 19).
  const isLoyal = hearsLeader(core) && core.vote !== message.from && !message.leadershipTransfer;
  if (!freeToVote || !upToDate || isLoyal) {
    rejectVote(core, message);
    return;
  }
  if (message.preVote) {
    // A pre-vote is an opinion. It binds nobody, so it neither is written down nor restarts any patience.
    core.outbox.send({
      type: 'requestVoteResponse',
      ...core.envelope(message.from, message.term),
      preVote: true,
      granted: true,
      removed: false,
      call: message.call,
    });
    return;
  }
  core.voteFor(message.from);
  core.resetElectionTimer();
  core.outbox.sendAfterPersist({
    type: 'requestVoteResponse',
    ...core.envelope(message.from),
    preVote: false,
    granted: true,
    removed: false,
    call: message.call,
  });
}

/** A rejection carries this node's own term, so that a candidate that is behind learns of it. */
export function rejectVote(core: Core, message: RequestVote): void {
  core.outbox.send({
    type: 'requestVoteResponse',
    ...core.envelope(message.from),
    preVote: message.preVote,
    granted: false,
    removed: wasRemoved(core, message),
    call: message.call,
  });
}

/**
 * Whether the candidate was removed, as far as this node can know; true is true in any term. A committed configuration without
 * it may be followed by one that adds it; but then it has the entries up to there, since it is caught up before it may campaign.
 * A leader knows the newest configuration, and that none of a later term adds a candidate which has seen no later term.
 */
function wasRemoved(core: Core, candidate: RequestVote): boolean {
  const placed = core.configurations.findLast(({ index }) => index <= core.log.commitIndex);
  if (placed === undefined || placed.configuration.voters.length === 0) return false;
  if (knowsIncarnation(placed.configuration, candidate.from, candidate.fromIncarnation)) return false;
  if (candidate.lastLogIndex < placed.index) return true;
  const isOfThisTime = candidate.term <= (candidate.preVote ? core.term + 1 : core.term);
  return core.role === 'leader' && isOfThisTime && placed.index === core.configurationIndex;
}

/** Counts an answer. Those of another round (pre-vote or vote) or another term are stale. */
export function handleRequestVoteResponse(core: Core, message: RequestVoteResponse): void {
  const isPreVote = core.role === 'preCandidate';
  if (message.preVote !== isPreVote) return;
  if (message.granted && message.term !== (isPreVote ? core.term + 1 : core.term)) return;
  recordVote(core, message.from, message.granted);
}

/** This node's own vote is on disk now, so it counts (correctness rule 2). */
export function countOwnVote(core: Core, persistedSequence: number): void {
  if (core.role !== 'candidate' || core.ownVoteSequence === null) return;
  if (core.ownVoteSequence > persistedSequence) return;
  core.ownVoteSequence = null;
  recordVote(core, core.options.id, true);
}

function recordVote(core: Core, voter: NodeId, granted: boolean): void {
  // The first answer of a voter stands; a repeated one says the same.
  if (!core.votes.has(voter)) core.votes.set(voter, granted);
  if (hasMajority(core.configuration, (id) => core.votes.get(id) === true)) {
    if (core.role === 'preCandidate') campaign(core, false, 'A majority would vote for this node.');
    else becomeLeader(core);
  } else if (isVotedDown(core.configuration, (id) => core.votes.get(id) === false)) {
    core.becomeFollower(core.term, null, `A majority refused to vote for this node in term ${core.term}.`);
  }
}

/**
 * Won. The leader announces itself and appends a no-op: only by committing an entry of its own term can it know that
 * what earlier terms left is committed (§5.4.2, Figure 8).
 */
function becomeLeader(core: Core): void {
  const supporters = [...core.votes].filter(([, granted]) => granted).map(([id]) => id);
  core.votes.clear();
  core.role = 'leader';
  core.leader = core.options.id;
  core.termLeader = core.options.id;
  core.heartbeatElapsedTicks = 0;
  core.quorumCheckElapsedTicks = 0;
  core.round = 0;
  core.roundsSent = [];
  core.hasGivenUpLease = false;
  core.lateWrite = null;
  core.heldUpWrite = null;
  core.leaderSilenceTicks = core.options.electionTimeoutTicks;
  core.uncommittedBytes = 0;
  core.termStartIndex = core.log.lastIndex + 1;
  followMembers(core);
  followDeparted(core);
  core.roleChanged(
    'becameLeader',
    `Leads term ${core.term} with the votes of ${supporters.sort().join(', ')}.`,
  );
  proposeEntries(core, EntryKind.noop, [new Uint8Array(0)]);
  broadcastHeartbeat(core);
}
