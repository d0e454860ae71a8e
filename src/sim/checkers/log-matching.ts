import type { Entry, Index, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, sameEntry, Violation } from './checker.js';

/** The first sighting of an entry, and the term of the entry before it wherever it stands. */
interface Sighting {
  readonly entry: Entry;
  readonly previousTerm: Term;
}

/**
 * If two logs contain an entry with the same index and term, then the logs are identical in all entries up through the
 * given index (Figure 3, §5.3). Each entry is checked once for each log that takes it: equal to the first one seen of its
 * index and term, after an entry of the same term. By induction over the indexes that is the whole property.
 */
export class LogMatching implements Checker {
  readonly property = 'Log Matching (§5.3)';
  private readonly sightings: Map<Term, Sighting>[] = [];
  private readonly logs = new Map<NodeId, readonly Entry[]>();

  stepped(node: NodeView, core: CoreView): void {
    const before = this.logs.get(node.id) ?? [];
    const { firstIndex, lastIndex } = core;
    if (before.length > 0) {
      const last = before[before.length - 1];
      const isSame =
        last?.index === lastIndex && before[0]?.index === firstIndex && core.termAt(lastIndex) === last.term;
      if (isSame) return;
    }
    const entries = core.entries(firstIndex, lastIndex);
    this.logs.set(node.id, entries);
    const offset = firstIndex - (before[0]?.index ?? firstIndex);
    let previousTerm = core.termAt(firstIndex - 1);
    for (let at = 0; at < entries.length; at += 1) {
      const entry = entries[at];
      if (entry === undefined) break;
      if (before[at + offset] !== entry && previousTerm !== undefined) this.check(node, entry, previousTerm);
      previousTerm = entry.term;
    }
  }

  ended(node: NodeView): void {
    this.logs.delete(node.id);
  }

  private check(node: NodeView, entry: Entry, previousTerm: Term): void {
    const { index, term } = entry;
    const known = this.at(index).get(term);
    if (known === undefined) {
      this.at(index).set(term, { entry, previousTerm });
    } else if (!sameEntry(known.entry, entry)) {
      throw new Violation(this.property, `Entry ${index} of term ${term} is another one on ${node.id}.`);
    } else if (known.previousTerm !== previousTerm) {
      throw new Violation(
        this.property,
        `Entry ${index} of term ${term} follows term ${previousTerm} on ${node.id} and term ${known.previousTerm} elsewhere.`,
      );
    }
  }

  private at(index: Index): Map<Term, Sighting> {
    this.sightings[index] ??= new Map();
    return this.sightings[index];
  }
}
