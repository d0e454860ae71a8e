import { encodeResult } from '../../kv/result-codec.js';
import type { Command, CommandResult, Revision } from '../../kv/types.js';
import type { Index } from '../../raft/types.js';
import { sameBytes } from '../bytes.js';
import { type Checker, Violation } from './checker.js';

/**
 * A change under an idempotency key is made once however often it is asked for, and every answer to it is the same (correctness
 * row 27). This looks only at what the log did and at what clients were told; runs are much shorter than the 24 hours for
 * which that holds.
 */
export class MadeOnce implements Checker {
  readonly property = 'A repeat changes nothing and gets the first answer (row 27)';
  private readonly changedAt = new Map<string, Index>();
  private readonly answers = new Map<string, Uint8Array>();
  private revision: Revision = 0;

  performed(index: Index, command: Command, result: CommandResult): void {
    const before = this.revision;
    // A repeat is answered with the revision of its first time.
    this.revision = Math.max(before, result.revision);
    if (result.revision <= before) return;
    const key = command.idempotency?.key;
    if (key === undefined) return;
    const first = this.changedAt.get(key);
    if (first !== undefined) {
      throw new Violation(
        this.property,
        `What was asked for under ${key} was done at index ${first} and again at index ${index}.`,
      );
    }
    this.changedAt.set(key, index);
  }

  /** A client was answered, for the first time or again. */
  answered(key: string, result: CommandResult): void {
    const answer = encodeResult(result);
    const first = this.answers.get(key);
    if (first === undefined) {
      this.answers.set(key, answer);
    } else if (!sameBytes(first, answer)) {
      throw new Violation(this.property, `A repeat under ${key} was answered ${JSON.stringify(result)}.`);
    }
  }
}
