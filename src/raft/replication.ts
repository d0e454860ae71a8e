import { memberOf } from './configuration.js';
import type { Core } from './core.js';
import { refusalOf } from './entry-checks.js';
import { encodedBytes } from './entry-codec.js';
import { type Departing, Progress } from './progress.js';
import { majorityValue } from './quorum.js';
import type {
  AppendEntries,
  AppendEntriesResponse,
  Entry,
  EntryKind,
  Heartbeat,
  HeartbeatResponse,
  Index,
  NodeId,
} from './types.js';

/**
 * Log replication (§5.3): how a leader brings its log to the others, how a follower takes it, and when an entry is
 * committed (§5.4.2).
 */

/** Leader: puts payloads at the end of its log, as entries of this term. They are sent when the Ready is taken. */
export function proposeEntries(core: Core, kind: EntryKind, payloads: readonly Uint8Array[]): void {
  const entries: Entry[] = [];
  let index = core.log.lastIndex;
  for (const payload of payloads) {
    index += 1;
    entries.push({ index, term: core.term, kind, payload });
    core.uncommittedBytes += payload.length;
  }
  core.appendToLog(entries);
}

/** Leader: sends every follower what it may have now. Called once for all that gathered, so that one append serves many proposals. */
export function sendAppends(core: Core): void {
  for (const [to, progress] of core.progress) {
    if (!isReachable(core, to)) continue;
    while (progress.canSend && (progress.next <= core.log.lastIndex || progress.state === 'probe')) {
      if (!sendAppend(core, to, progress)) break;
      if (progress.state === 'probe') break;
    }
    if (progress.verify) sendVerification(core, to, progress);
  }
}

/** Sends one append from `progress.next` on. Returns false when the follower needs a snapshot instead. */
function sendAppend(core: Core, to: NodeId, progress: Progress): boolean {
  const previousIndex = progress.next - 1;
  const previousTerm = core.log.termAt(previousIndex);
  if (previousTerm === undefined) {
    // Nobody may be there yet: one that was added by hand is known before it is ready, and would miss a snapshot.
    if (progress.lastContactTick === null) return false;
    progress.becomeSnapshot();
    core.outbox.requestSnapshot({ to, term: core.term });
    core.event(
      'followerNeedsSnapshot',
      `${core.memberName(to)} needs index ${progress.next}; the log starts at ${core.log.firstIndex}.`,
    );
    return false;
  }
  const entries = core.log.slice(progress.next, core.log.lastIndex, core.options.appendBytesMax);
  const lastIndex = previousIndex + entries.length;
  let bytes = 0;
  for (const entry of entries) bytes += encodedBytes(entry);
  core.outbox.send({
    type: 'appendEntries',
    ...core.envelope(to),
    previousIndex,
    previousTerm,
    entries,
    commitIndex: core.log.commitIndex,
  });
  progress.sent(lastIndex, bytes);
  progress.commitSent = Math.max(progress.commitSent, Math.min(core.log.commitIndex, lastIndex));
  return true;
}

/** An empty append at the end of what was sent: it is refused if something before it was lost (row 11). */
function sendVerification(core: Core, to: NodeId, progress: Progress): void {
  progress.verify = false;
  const previousIndex = progress.next - 1;
  const previousTerm = core.log.termAt(previousIndex);
  if (previousTerm === undefined) {
    // Compacted meanwhile, so nothing can be asked about it. If all appends in flight were lost, no answer will ever make
    // room for another: begin again from what the follower is known to hold, which leads to a snapshot.
    progress.becomeProbe();
    sendAppend(core, to, progress);
    return;
  }
  core.outbox.send({
    type: 'appendEntries',
    ...core.envelope(to),
    previousIndex,
    previousTerm,
    entries: [],
    commitIndex: core.log.commitIndex,
  });
}

/** A member that was added by hand and never started has no incarnation; nobody is there to talk to. */
function isReachable(core: Core, id: NodeId): boolean {
  return memberOf(core.configuration, id)?.incarnation !== '';
}

/** Leader: keeps one {@link Progress} for each member of the configuration, and one for a while for who left. */
export function followMembers(core: Core): void {
  for (const id of core.peers) {
    const known = core.progress.get(id);
    // Whoever was removed and comes back may have lost its disk in between, so nothing is known about its log.
    if (known === undefined || known.departing)
      core.progress.set(id, new Progress(core.log.lastIndex + 1, core.options, core.now));
  }
  for (const [id, progress] of core.progress) {
    if (memberOf(core.configuration, id) || progress.departing) continue;
    progress.departing = departing(core, lastIncarnationOf(core, id));
  }
}

/** As what the configurations so far knew a member that is not in the newest; '' where none tells. */
function lastIncarnationOf(core: Core, id: NodeId): string {
  for (const { configuration } of core.configurations.toReversed()) {
    const member = memberOf(configuration, id);
    if (member) return member.incarnation;
  }
  return '';
}

function departing(core: Core, incarnation: string): Departing {
  return { incarnation, index: core.configurationIndex, sinceTick: core.now, toldInRound: null };
}

/**
 * A new leader: its predecessor may have stopped, or left itself, before it told those who left with the newest configuration, so
 * they are told again (correctness rule 17).
 */
export function followDeparted(core: Core): void {
  const before = core.configurations.at(-2)?.configuration;
  for (const { id, incarnation } of before?.members ?? []) {
    const isHere = id === core.options.id || memberOf(core.configuration, id);
    if (isHere || incarnation === '') continue;
    const progress = new Progress(core.log.lastIndex + 1, core.options, core.now);
    progress.departing = departing(core, incarnation);
    core.progress.set(id, progress);
  }
}

/** Leader: starts a heartbeat round and returns its number. */
export function broadcastHeartbeat(core: Core): number {
  core.heartbeatElapsedTicks = 0;
  core.round += 1;
  noteRoundSent(core);
  for (const [to, progress] of core.progress) sendHeartbeat(core, to, progress);
  return core.round;
}

/** Leader: keeps the times of rounds that may still matter: the newest that a majority answered is at most a lease old. */
function noteRoundSent(core: Core): void {
  const { roundsSent, reading } = core;
  roundsSent.push({ round: core.round, reading });
  while (roundsSent[0] && roundsSent[0].reading + core.options.leaseDuration < reading) roundsSent.shift();
}

/** Leader: whether this follower holds committed entries without having been told that they are. */
export function lacksCommit(core: Core, progress: Progress): boolean {
  return progress.commitSent < Math.min(core.log.commitIndex, progress.match);
}

/** The commit index in a heartbeat is capped by what the follower holds: a heartbeat may overtake its appends. */
export function sendHeartbeat(core: Core, to: NodeId, progress: Progress): void {
  if (!isReachable(core, to)) return;
  const commitIndex = Math.min(core.log.commitIndex, progress.match);
  progress.commitSent = Math.max(progress.commitSent, commitIndex);
  const { departing } = progress;
  if (departing && commitIndex >= departing.index) departing.toldInRound ??= core.round + 1;
  core.outbox.send({
    type: 'heartbeat',
    ...core.envelope(to),
    round: core.round,
    commitIndex,
    catchUpIndex: catchUpIndex(core),
  });
}

/** Leader: what a member, this one included, must have applied to hold everything that was ever committed. */
export function catchUpIndex(core: Core): Index {
  return Math.max(core.log.commitIndex, core.termStartIndex);
}

/** Follower: how far the leader's members must be. A leader that does not say tells at least what is committed. */
function noteCatchUp(core: Core, message: Heartbeat): void {
  const { catchUp, term } = core;
  const index = message.catchUpIndex || message.commitIndex;
  core.catchUp = { term, index: catchUp.term === term ? Math.max(catchUp.index, index) : index };
}

/** Follower: the consistency check, the repair of conflicts, and the commit index (Figure 2, AppendEntries). */
export function handleAppendEntries(core: Core, message: AppendEntries): void {
  const { log } = core;
  if (core.catchUp.term === core.term && message.commitIndex > core.catchUp.index) {
    core.catchUp.index = message.commitIndex;
  }
  const lastVerified = message.previousIndex + message.entries.length;
  if (message.previousIndex < log.commitIndex && lastVerified <= log.commitIndex) {
    // All of it is committed here: nothing to compare, and it may be compacted already.
    acknowledge(core, message, log.commitIndex);
    return;
  }
  // What is committed here agrees with every later leader (§5.4.3), so the comparison starts behind it.
  const skip = Math.max(0, log.commitIndex - message.previousIndex);
  const entries = skip === 0 ? message.entries : message.entries.slice(skip);
  if (skip === 0 && log.termAt(message.previousIndex) !== message.previousTerm) {
    if (core.refusesAppends) {
      // What came after a refused append does not match because of that, and the leader has nothing to repair.
      refuse(core, message, 'An earlier append was refused.');
      return;
    }
    const hint = log.lastAgreement(message.previousIndex, message.previousTerm);
    core.outbox.send({
      type: 'appendEntriesResponse',
      ...core.envelope(message.from),
      success: false,
      matchIndex: 0,
      rejectedIndex: message.previousIndex,
      hintIndex: hint.index,
      hintTerm: hint.term,
    });
    return;
  }
  // Truncate at a real conflict only: a delayed duplicate must not cut off what came after it (row 10).
  const firstNew = entries.findIndex((entry) => log.termAt(entry.index) !== entry.term);
  if (firstNew >= 0) {
    const fresh = firstNew === 0 ? entries : entries.slice(firstNew);
    const refusal = refusalOf(core, fresh);
    if (refusal !== null) {
      refuse(core, message, refusal);
      return;
    }
    const conflict = fresh[0]?.index ?? 0;
    if (conflict <= log.lastIndex) {
      core.event(
        'conflictTruncated',
        `Entries ${conflict} to ${log.lastIndex} differ from the log of leader ${message.from} and are dropped.`,
      );
      core.truncateLogFrom(conflict);
    }
    if (core.diskSpace === 'full' || isFull(core)) {
      holdBack(core, message, conflict - 1);
      return;
    }
    core.holdsAppendsBack = false;
    core.refusedInTerm = null;
    core.appendToLog(fresh);
  }
  log.commitTo(Math.min(message.commitIndex, lastVerified));
  acknowledge(core, message, lastVerified);
}

/**
 * Follower: whether the log is twice as long as its bound, and enough of it to bring it below is committed. Only what is
 * committed counts: it needs nobody but this node's own disk to be applied and cut, while a follower that held back what it
 * takes to commit the rest could wait for ever. How much is uncommitted, the leader bounds.
 */
function isFull(core: Core): boolean {
  const { log } = core;
  const { logEntriesMax, logBytesMax } = core.options;
  const isLong =
    log.lastIndex - log.compactedIndex >= 2 * logEntriesMax &&
    log.commitIndex - log.compactedIndex > logEntriesMax;
  return isLong || (log.bytes >= 2 * logBytesMax && log.committedBytes > logBytesMax);
}

/**
 * Follower: its state falls behind its log, so it takes no new entries, as if the rest of the append were lost: the leader
 * tries again at the pace of heartbeats, and nobody else is slowed down (correctness rule 12). What the log has of the
 * append is acknowledged, and so committed; an answer to nothing at all would only bring the next append at once.
 */
function holdBack(core: Core, message: AppendEntries, lastVerified: Index): void {
  if (!core.holdsAppendsBack) {
    const { lastIndex, compactedIndex } = core.log;
    core.event(
      'appendsHeldBack',
      core.diskSpace === 'full'
        ? 'The disk is full; no more entries are taken until there is room again.'
        : `The log holds ${lastIndex - compactedIndex} entries, because the state on disk falls behind; no more are taken until it has caught up.`,
    );
  }
  core.holdsAppendsBack = true;
  core.log.commitTo(Math.min(message.commitIndex, lastVerified));
  if (lastVerified > message.previousIndex) acknowledge(core, message, lastVerified);
}

/**
 * Follower: its log can never take an entry of this append, because this node could not apply it. It changes nothing and says
 * so; only when it says it for the first time in a term is that worth a line.
 */
function refuse(core: Core, message: AppendEntries, reason: string): void {
  if (!core.refusesAppends) core.event('appendRefused', `An append of ${message.from} is refused. ${reason}`);
  core.refusedInTerm = core.term;
  core.outbox.send({
    type: 'appendEntriesResponse',
    ...core.envelope(message.from),
    success: false,
    matchIndex: 0,
    rejectedIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
    refusal: reason,
  });
}

function acknowledge(core: Core, message: AppendEntries, matchIndex: number): void {
  if (core.refusesAppends) {
    refuse(core, message, 'An earlier append was refused.');
    return;
  }
  core.outbox.sendAfterPersist({
    type: 'appendEntriesResponse',
    ...core.envelope(message.from),
    success: true,
    matchIndex,
    rejectedIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
  });
}

/** Leader: a follower's answer to an append moves match and next, or the point to probe. */
export function handleAppendEntriesResponse(core: Core, message: AppendEntriesResponse): void {
  const progress = core.progress.get(message.from);
  if (!progress) return;
  if (message.refusal !== undefined) {
    noteRefusal(core, message.from, progress, message.refusal);
    return;
  }
  noteContact(core, progress);
  if (!message.success) {
    handleRejection(core, message, progress);
    return;
  }
  const isNews = progress.acknowledged(message.matchIndex);
  if (progress.state === 'probe' && (isNews || message.matchIndex === progress.match)) {
    progress.becomeReplicate();
  } else if (progress.state === 'snapshot' && progress.match + 1 >= core.log.firstIndex) {
    // It caught up by other means, so the log can serve it again.
    progress.becomeProbe();
  }
  if (isNews) advanceCommit(core);
}

/**
 * Leader: the follower can never take an entry that it was sent. That is no contact, and says nothing about its log; nothing
 * more is sent until it answers a heartbeat again, as another version of its program may after a restart.
 */
function noteRefusal(core: Core, from: NodeId, progress: Progress, reason: string): void {
  if (progress.refusal === null)
    core.event('appendRefused', `${core.memberName(from)} refuses an append. ${reason}`);
  progress.refusal = reason;
}

/**
 * The follower's log differs before `next`. Its hint names the last place where it could agree; this log may hold older
 * terms still there, so the leader goes back to where its own term is no greater (§5.3).
 */
function handleRejection(core: Core, message: AppendEntriesResponse, progress: Progress): void {
  progress.answeredAppend = true;
  if (progress.state === 'snapshot') return;
  const isStale =
    message.rejectedIndex <= progress.match ||
    (progress.state === 'probe' && message.rejectedIndex !== progress.next - 1);
  if (isStale) return;
  if (progress.state === 'replicate') {
    progress.becomeProbe();
    return;
  }
  const hint =
    message.hintIndex >= core.log.compactedIndex
      ? core.log.lastAgreement(message.hintIndex, message.hintTerm).index
      : message.hintIndex;
  progress.next = Math.max(progress.match + 1, Math.min(message.rejectedIndex, hint + 1));
  progress.probeSent = false;
}

/** Follower: the leader is alive; take its commit index. Nothing here waits for the disk. */
export function handleHeartbeat(core: Core, message: Heartbeat): void {
  core.log.commitTo(message.commitIndex);
  // Also by one that takes no more entries: it falls behind, and is to say so.
  noteCatchUp(core, message);
  if (core.refusesAppends) return;
  const answer = { type: 'heartbeatResponse', ...core.envelope(message.from), round: message.round } as const;
  core.outbox.send(core.diskSpace === 'ok' ? answer : { ...answer, lowSpace: true });
}

/** Leader: the answer confirms the round, and frees a follower that was paused for a lost message (row 11). */
export function handleHeartbeatResponse(core: Core, message: HeartbeatResponse): void {
  const progress = core.progress.get(message.from);
  if (!progress) return;
  noteContact(core, progress);
  progress.lowSpace = message.lowSpace === true;
  progress.acknowledgedRound = Math.max(progress.acknowledgedRound, message.round);
  freeIfStuck(core, progress);
  const toldInRound = progress.departing?.toldInRound ?? Number.POSITIVE_INFINITY;
  if (message.round >= toldInRound) core.progress.delete(message.from);
}

/**
 * The follower is there, so what it has not answered may be lost: probe again, or ask whether all arrived. Once a heartbeat
 * period at most, because read rounds are heartbeats too and may come at any rate.
 */
function freeIfStuck(core: Core, progress: Progress): void {
  if (core.now - progress.freedTick < core.options.heartbeatTicks) return;
  progress.freedTick = core.now;
  progress.probeSent = false;
  const mayHaveLost = progress.state === 'replicate' && !progress.answeredAppend;
  progress.verify = mayHaveLost && progress.match < progress.next - 1;
  progress.answeredAppend = false;
}

export function noteContact(core: Core, progress: Progress): void {
  progress.refusal = null;
  progress.recentlyActive = true;
  progress.lastContactTick = core.now;
}

/**
 * Leader: an entry is committed when a majority has it on disk and it is of this term; earlier terms' entries are
 * committed along with it, never by counting (§5.4.2, Figure 8). The leader counts its own disk like any other.
 */
export function advanceCommit(core: Core): void {
  const { log } = core;
  const index = majorityValue(core.configuration, (id) =>
    id === core.options.id ? log.durableIndex : (core.progress.get(id)?.match ?? 0),
  );
  if (index <= log.commitIndex || log.termAt(index) !== core.term) return;
  for (let committed = log.commitIndex + 1; committed <= index; committed += 1) {
    const entry = log.entryAt(committed);
    // Entries of earlier terms were never added to this leader's count.
    if (entry.term === core.term) core.uncommittedBytes -= entry.payload.length;
  }
  log.commitTo(index);
}

/** Leader: messages to this follower may have been lost, so stop running ahead of its answers. */
export function handleUnreachable(core: Core, id: NodeId): void {
  const progress = core.progress.get(id);
  if (progress?.state === 'replicate') progress.becomeProbe();
}

/**
 * Leader: the voter, besides itself, that could take over soonest. In joint consensus one that stays before one that leaves,
 * which would only have to hand over again.
 */
export function bestSuccessor(core: Core): NodeId | undefined {
  const { voters, outgoingVoters } = core.configuration;
  return longestLogOf(core, voters) ?? longestLogOf(core, outgoingVoters);
}

function longestLogOf(core: Core, voters: readonly NodeId[]): NodeId | undefined {
  let best: NodeId | undefined;
  let bestMatch = -1;
  for (const [id, progress] of core.progress) {
    // Not `recentlyActive`: nobody is just after a CheckQuorum, and somebody is needed then as well.
    const silentSince = progress.lastContactTick ?? Number.NEGATIVE_INFINITY;
    const isSilent = core.now - silentSince > core.options.electionTimeoutTicks;
    if (!voters.includes(id) || isSilent) continue;
    if (progress.match > bestMatch) {
      best = id;
      bestMatch = progress.match;
    }
  }
  return best;
}
