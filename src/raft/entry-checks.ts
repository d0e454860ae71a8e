import { decodeConfiguration } from './configuration.js';
import type { Core } from './core.js';
import { type Entry, EntryKind } from './types.js';

/**
 * What a follower asks of an entry before its log takes it: that this node can put it into force, or apply it, when it is
 * committed. Nothing that fails here may ever be committed with the help of this node.
 */

/** Why one of these entries may not enter the log: a sentence, or null. */
export function refusalOf(core: Core, entries: readonly Entry[]): string | null {
  for (const entry of entries) {
    const reason = reasonAgainst(core, entry);
    if (reason !== null) return `Entry ${entry.index} of term ${entry.term} is refused. ${reason}`;
  }
  return null;
}

function reasonAgainst(core: Core, { kind, payload }: Entry): string | null {
  switch (kind) {
    case EntryKind.noop:
      return payload.length === 0 ? null : `It is a no-op and carries ${payload.length} bytes.`;
    case EntryKind.command:
      return core.options.refuseCommand(payload);
    case EntryKind.configuration:
      return reasonAgainstConfiguration(payload);
    default:
      return `It is of kind ${String(kind)}, which this version of raftkv does not know.`;
  }
}

/** Why these bytes are no configuration that could be in force: a sentence, or null. */
export function reasonAgainstConfiguration(payload: Uint8Array): string | null {
  try {
    const { voters } = decodeConfiguration(payload);
    return voters.length > 0 ? null : 'The configuration has no voter.';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
