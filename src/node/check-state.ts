import { RaftkvError, StorageDamaged } from '../errors.js';
import { type Entry, EntryKind, type Index, TERM_MAX, type Term } from '../raft/types.js';

/**
 * The log and the state are two databases that were written apart; together they must still tell one story (correctness
 * rule 23): the state ends inside of the log, at an entry of the same term. Equal index and term mean equal logs up to there
 * (Log Matching, §5.3), so a state of another cluster or history is found as well, unless its term happens to agree.
 */
export function checkStateAgainstLog(
  state: {
    readonly appliedIndex: Index;
    readonly appliedTerm: Term;
    /** Why a command cannot be applied here, or null. */
    refuse(payload: Uint8Array): string | null;
  },
  log: {
    readonly hardState: { readonly term: Term };
    readonly compacted: { readonly index: Index; readonly term: Term };
    readonly entries: readonly Entry[];
  },
): void {
  const what = disagreementOf(state, log);
  if (what === null) {
    checkEntries(state, log);
    return;
  }
  throw new StorageDamaged('log', what, {
    advice:
      'Nothing was changed. Remove this member from the cluster, then start it with --join and an empty data directory.',
  });
}

/** Why the two do not belong together, in a sentence; null where they do. */
export function disagreementOf(
  state: Pick<Parameters<typeof checkStateAgainstLog>[0], 'appliedIndex' | 'appliedTerm'>,
  log: Parameters<typeof checkStateAgainstLog>[1],
): string | null {
  return termBeyondLast(log) ?? disagreement(state, log);
}

/** A term that no entry can have, which versions up to 0.1 took from any peer: no leader could ever emerge in it. */
function termBeyondLast({ hardState }: Parameters<typeof checkStateAgainstLog>[1]): string | null {
  if (hardState.term <= TERM_MAX) return null;
  return `The log is in term ${hardState.term}, which no election can have reached; the last one is ${TERM_MAX}.`;
}

/**
 * What is still to be applied must be such that it can be: a node that found out while it applies would end there, and again at
 * each start. Commands that pass are remembered for that, so nothing is decoded twice.
 */
function checkEntries(
  state: Parameters<typeof checkStateAgainstLog>[0],
  { compacted, entries }: Parameters<typeof checkStateAgainstLog>[1],
): void {
  for (const { index, kind, payload } of entries.slice(state.appliedIndex - compacted.index)) {
    const reason = kind === EntryKind.command ? state.refuse(payload) : null;
    if (reason === null) continue;
    throw new RaftkvError(
      'storage_unusable',
      `Entry ${index} of the log can never be applied here. ${reason} If a newer version wrote it, start that version. ` +
        'Otherwise, if the other members run, remove this member from the cluster and start it with --join and an empty data ' +
        'directory. If every member says this, an earlier version of raftkv let the entry into the log, and the cluster ' +
        `cannot go on: everything up to index ${index - 1} is intact in the data directories, so keep them. Nothing was changed.`,
      { index },
    );
  }
}

function disagreement(
  { appliedIndex, appliedTerm }: Parameters<typeof disagreementOf>[0],
  { compacted, entries }: Parameters<typeof checkStateAgainstLog>[1],
): string | null {
  const missing = 'a part of the data directory is missing.';
  if (appliedIndex < compacted.index) {
    return `The log begins after index ${compacted.index}, but the state ends at index ${appliedIndex}: ${missing}`;
  }
  const lastIndex = compacted.index + entries.length;
  if (appliedIndex > lastIndex) {
    return `The state holds index ${appliedIndex}, but the log ends at index ${lastIndex}: ${missing}`;
  }
  const term =
    appliedIndex === compacted.index ? compacted.term : entries[appliedIndex - compacted.index - 1]?.term;
  if (term === appliedTerm) return null;
  return (
    `The state ends at index ${appliedIndex} with term ${appliedTerm}, but the log has term ${term} there: ` +
    'the two do not belong together.'
  );
}
