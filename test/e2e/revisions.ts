/**
 * What answers say about revisions, over all keys: every change takes a revision of its own, above all that were
 * acknowledged before it was asked for, and what a revision wrote never changes.
 */
export class Revisions {
  readonly violations: string[] = [];
  private newest = 0;
  private readonly written = new Map<number, string>();

  /** The newest revision that any client was told of: whatever is asked for from now on is above it. */
  get floor(): number {
    return this.newest;
  }

  /** A change was acknowledged. `floor` is from when it was asked for. */
  acknowledged(revision: number, floor: number, what: string): void {
    if (revision <= floor) {
      this.violations.push(
        `${what} got revision ${revision}, and ${floor} was given before it was asked for.`,
      );
    }
    this.note(revision, what);
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

  /** A change is visible at its revision. */
  note(revision: number, what: string): void {
    this.newest = Math.max(this.newest, revision);
    const known = this.written.get(revision);
    if (known === undefined) this.written.set(revision, what);
    else if (known !== what) this.violations.push(`Revision ${revision} is both ${known} and ${what}.`);
  }
}
