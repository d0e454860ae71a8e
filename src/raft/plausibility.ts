import { knowsIncarnation } from './configuration.js';
import type { Core } from './core.js';
import {
  type AppendEntries,
  INDEX_MAX,
  type Index,
  type Message,
  TERM_JUMP_MAX,
  TERM_MAX,
  type Term,
} from './types.js';

/**
 * What a peer may say. Both checks only read, and come before a message changes anything, so that a message that fails one of
 * them has no effect.
 */

/** Why no member of any version sends this, whatever happened to it before: a sentence, or null. */
export function nonsenseIn(core: Core, message: Message): string | null {
  if (message.from === core.options.id) return 'It claims to be of this node itself.';
  if (message.term > TERM_MAX) return `Its term ${message.term} is beyond the last one, ${TERM_MAX}.`;
  // A node that has nothing yet takes the term of the cluster that it joins, however high.
  if (core.term > 0 && message.term - core.term > TERM_JUMP_MAX) {
    return `Its term ${message.term} is more than ${TERM_JUMP_MAX} above the term here, ${core.term}.`;
  }
  switch (message.type) {
    case 'appendEntries':
      return isRunOfEntries(message) ? null : `It is not a run of entries up to term ${message.term}.`;
    case 'heartbeat':
      return isIndex(message.commitIndex) && isIndex(message.catchUpIndex ?? 0)
        ? null
        : 'It names what is no index.';
    case 'requestVote':
      return isIndex(message.lastLogIndex) && message.lastLogTerm <= message.term
        ? null
        : 'Its log ends beyond its term, or beyond the last index.';
    case 'appendEntriesResponse':
      return isIndex(message.matchIndex) && isIndex(message.rejectedIndex) && isIndex(message.hintIndex)
        ? null
        : 'It names what is no index.';
    case 'installSnapshotResponse':
      return isIndex(message.matchIndex) ? null : 'It names what is no index.';
    case 'heartbeatResponse':
      return core.role === 'leader' && message.term === core.term && message.round > core.round
        ? `It answers round ${message.round}, and the last one is ${core.round}.`
        : null;
    case 'installSnapshot': {
      const { index, term } = message.snapshot;
      return index > 0 && isIndex(index) && term <= message.term
        ? null
        : `It is of a snapshot at index ${index} of term ${term}, in term ${message.term}.`;
    }
    case 'timeoutNow':
      return message.term === core.term && core.termLeader !== null && core.termLeader !== message.from
        ? `It asks for a campaign, and ${core.termLeader} leads term ${core.term}.`
        : null;
    case 'requestVoteResponse':
      return null;
  }
}

/**
 * What contradicts something that this node knows for certain, so that either the sender or this node lost or invented
 * something (correctness rule 24): a sentence that says what and what to do, or null.
 */
export function contradictionIn(core: Core, message: Message): string | null {
  if (message.term < core.term) return null;
  switch (message.type) {
    case 'appendEntries':
      return secondLeader(core, message) ?? committedConflict(core, message);
    case 'heartbeat':
      return secondLeader(core, message) ?? lostEntries(core, message.commitIndex);
    case 'installSnapshot': {
      const { index, term } = message.snapshot;
      return secondLeader(core, message) ?? conflictAt(core, message.from, index, term);
    }
    case 'appendEntriesResponse':
    case 'installSnapshotResponse':
      return core.role === 'leader' && message.success && message.term === core.term
        ? strangeEntries(core, message.from, message.matchIndex)
        : null;
    default:
      return null;
  }
}

/** Whether the sender is a member as this node knows it, so that what it says and cannot be true is no stranger's nonsense. */
export function isKnownMember(core: Core, { from, fromIncarnation }: Message): boolean {
  return fromIncarnation !== '' && knowsIncarnation(core.configuration, from, fromIncarnation);
}

/** Two leaders in one term would break Election Safety (Figure 3). */
function secondLeader(core: Core, { from, term }: Message): string | null {
  if (term !== core.term || core.termLeader === null || core.termLeader === from) return null;
  return (
    `Two members, ${core.termLeader} and ${from}, both lead term ${term}, which cannot be: the disk of a member that voted for ` +
    'both lost its vote, or one of the two is no member. Find out which of them is right, then start this node again.'
  );
}

/** What a leader takes for committed and on this disk has been acknowledged by this node. */
function lostEntries({ log }: Core, commitIndex: Index): string | null {
  if (commitIndex <= log.lastIndex) return null;
  return (
    `The leader says that index ${commitIndex} is committed and on this disk, but the log ends at ${log.lastIndex}: entries ` +
    `that were acknowledged are gone. This disk lost what it had promised, or is an old copy. ${REPLACE_THIS_MEMBER}`
  );
}

/** What is committed here stands in every later leader's log (§5.4.3). */
function committedConflict(core: Core, message: AppendEntries): string | null {
  const { log } = core;
  const previous = conflictAt(core, message.from, message.previousIndex, message.previousTerm);
  if (previous !== null || message.previousIndex >= log.commitIndex) return previous;
  for (const entry of message.entries) {
    if (entry.index > log.commitIndex) return null;
    const conflict = conflictAt(core, message.from, entry.index, entry.term);
    if (conflict !== null) return conflict;
  }
  return null;
}

function conflictAt({ log }: Core, from: string, index: Index, term: Term): string | null {
  const ours = index > log.commitIndex ? undefined : log.termAt(index);
  if (ours === undefined || ours === term) return null;
  return (
    `Index ${index} is committed here in term ${ours}, but leader ${from} has an entry of term ${term} there: one of the two ` +
    `lost what it had promised. Compare the digests of the members in GET /v1/status. ${REPLACE_THIS_MEMBER}`
  );
}

/** No follower has more of a term's log than the leader of that term. */
function strangeEntries({ log }: Core, from: string, matchIndex: Index): string | null {
  if (matchIndex <= log.lastIndex) return null;
  return (
    `${from} holds index ${matchIndex}, but the log of this node, which leads, ends at ${log.lastIndex}: entries that a majority ` +
    `acknowledged are missing here. ${REPLACE_THIS_MEMBER}`
  );
}

const REPLACE_THIS_MEMBER =
  'If it is this node, remove the member from the cluster, wipe its data directory and start it with --join.';

/** Whether the entries follow each other and `previousIndex`, in terms that never go down. */
function isRunOfEntries({ previousIndex, previousTerm, entries, term, commitIndex }: AppendEntries): boolean {
  let index = previousIndex;
  let lastTerm = previousTerm;
  for (const entry of entries) {
    index += 1;
    if (entry.index !== index || entry.term < lastTerm) return false;
    lastTerm = entry.term;
  }
  return lastTerm <= term && isIndex(index) && isIndex(commitIndex);
}

function isIndex(index: Index): boolean {
  return index <= INDEX_MAX;
}
