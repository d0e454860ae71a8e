/** What became of keys: the value of each, or null where it was deleted. */
export type WrittenKeys = Readonly<Record<string, string | null>>;

/** What is known of one revision. */
interface Written {
  readonly keys: Map<string, string | null>;
  /** Whether these are all keys that it changed. */
  isWhole: boolean;
}

/**
 * What answers and events say about revisions, over all keys: every change takes a revision of its own, above all that were
 * given before it was asked for, and what a revision wrote never changes.
 */
export class Revisions {
  readonly violations: string[] = [];
  private newest = 0;
  private readonly written = new Map<number, Written>();

  /** The newest revision that any client was told of: whatever is asked for from now on is above it. */
  get floor(): number {
    return this.newest;
  }

  /** A change was acknowledged, of these keys and no others. `floor` is from when it was asked for. */
  acknowledged(revision: number, floor: number, keys: WrittenKeys): void {
    if (revision <= floor) {
      this.violations.push(
        `${name(keys)} got revision ${revision}, and ${floor} was given before it was asked for.`,
      );
    }
    this.write(revision, keys, true);
  }

  /** A node answered that was at `storeRevision` and had to be at `floor` at least. */
  answered(storeRevision: number, floor: number, what: string): void {
    if (storeRevision < floor) {
      this.violations.push(
        `${what} came from revision ${storeRevision}, and had to be of ${floor} or later.`,
      );
    }
    this.newest = Math.max(this.newest, storeRevision);
  }

  /** A change is visible at its revision, by a read or by an event, and maybe not the only one. */
  note(revision: number, keys: WrittenKeys): void {
    this.write(revision, keys, false);
  }

  /** What is known of each revision, for whoever knows all of them. */
  *all(): Generator<{ readonly revision: number; readonly keys: WrittenKeys; readonly isWhole: boolean }> {
    for (const [revision, { keys, isWhole }] of this.written) {
      yield { revision, keys: Object.fromEntries(keys), isWhole };
    }
  }

  private write(revision: number, keys: WrittenKeys, isWhole: boolean): void {
    this.newest = Math.max(this.newest, revision);
    const known = this.written.get(revision) ?? { keys: new Map<string, string | null>(), isWhole: false };
    this.written.set(revision, known);
    for (const [key, value] of Object.entries(keys)) {
      const before = known.keys.get(key);
      const isNew = before === undefined;
      if (isNew ? known.isWhole : before !== value) this.conflict(revision, known, keys);
      if (isNew) known.keys.set(key, value);
    }
    if (!isWhole) return;
    const isLarger = known.keys.size > Object.keys(keys).length;
    if (isLarger) this.conflict(revision, known, keys);
    known.isWhole = true;
  }

  private conflict(revision: number, { keys }: Written, others: WrittenKeys): void {
    this.violations.push(
      `Revision ${revision} is both ${name(Object.fromEntries(keys))} and ${name(others)}.`,
    );
  }
}

function name(keys: WrittenKeys): string {
  const all = Object.entries(keys);
  return all.map(([key, value]) => (value === null ? `${key} deleted` : `${key} = ${value}`)).join(', ');
}
