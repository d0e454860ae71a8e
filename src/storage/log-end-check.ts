import { StorageDamaged } from '../errors.js';
import { lastConfiguration } from '../raft/configuration.js';
import { hasMajority } from '../raft/quorum.js';
import type { KnownEnd } from './log-end.js';
import type { LoadedLog } from './log-load.js';

/** What a second place knows of the end of a log: `LogEnd`. */
export interface KnownEnds {
  /** Of whichever log it noted last. */
  readonly known: KnownEnd | undefined;
  /** Of the log of this incarnation. */
  of(incarnation: string): KnownEnd | undefined;
}

/**
 * Compares a log with the note of how far it was on disk (rule 29). Throws `storage_damaged` where it ends before that: entries that this
 * node acknowledged, or its vote, may be missing.
 *
 * A false alarm would stop a healthy node, so each step must be sure:
 * - A note is made after the sync of its write. After a power loss it may be older than the log, but not newer.
 * - It counts writes, not indexes: a conflicting entry takes the last index back (§5.3), and a vote does not raise it.
 * - A program before cluster version 2, to which a node may go back, writes the log and neither counts nor makes notes. It may truncate
 *   what was noted. The state record, which every write replaces, then has no count, and the log still has the generation of the count:
 *   such a log is whole, and the next write that is counted begins a new generation. So an uncounted log of the note's generation passes.
 *   One of an earlier generation does not: its generation was on disk in a write that was noted, and it is gone.
 * - The term never goes back, whoever wrote the log.
 * - A note of another incarnation says nothing, because the directory's files were put together by hand. But a log without any
 *   identity is empty, and no node makes a note before the identity is on disk.
 */
export function checkLogEnd(loaded: LoadedLog, end: KnownEnds): void {
  const { identity } = loaded;
  const known = identity === undefined ? end.known : end.of(identity.incarnation);
  if (known === undefined) return;
  if (identity === undefined) throw logIsEmpty(known);
  const { generation, writes, hardState } = loaded;
  const isBehind =
    generation < known.generation ||
    (generation === known.generation &&
      (writes === undefined ? hardState.term < known.term : writes < known.writes));
  if (isBehind) throw logEndsTooEarly(loaded, known, identity.id);
}

function logIsEmpty({ lastIndex, term }: KnownEnd): StorageDamaged {
  return new StorageDamaged(
    'log',
    `The node's log is empty, but LOG-END in the data directory knows one that had reached index ${lastIndex} in term ${term}.`,
    { advice: EMPTY_LOG_ADVICE, data: { index: 1 } },
  );
}

function logEndsTooEarly(loaded: LoadedLog, known: KnownEnd, id: string): StorageDamaged {
  const { hardState, entries, compacted } = loaded;
  const { index, term } = entries[entries.length - 1] ?? compacted;
  const others = hasMajority(lastConfiguration(loaded), (voter) => voter !== id);
  return new StorageDamaged(
    'log',
    `The end of the node's log is lost. On disk it had reached index ${known.lastIndex} in term ${known.term}, but now it ends at index ` +
      `${index}, with an entry of term ${term}, in term ${hardState.term}. Entries that this node acknowledged, or its vote, may be missing, so it ` +
      'must not take part under its old identity.',
    { advice: others ? MEMBER_ADVICE : LAST_COPY_ADVICE, data: { index: index + 1 } },
  );
}

const EMPTY_LOG_ADVICE =
  'If you deleted the log so that the node joins anew, delete everything else in the directory as well. If you did not, the disk has ' +
  'lost it: remove the member from the cluster, wipe its data directory and start it with --join. If no other member has a copy, wipe ' +
  'nothing, and restore a backup.';
const MEMBER_ADVICE =
  "This member's disk is damaged: remove the member from the cluster, wipe its data directory and start it with --join. If other " +
  'members say the same, so that those that run are no majority, wipe nothing: docs/operations.md says what to do.';
const LAST_COPY_ADVICE =
  'The other members are no majority without this one, so do not wipe its data directory. Copy it, and restore a backup. To go on with what is ' +
  'left instead, and lose the missing entries, delete LOG-END there and start the node again: docs/operations.md says more.';
