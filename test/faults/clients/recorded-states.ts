import type { Item, Revision } from '../../../src/kv/types.js';
import { textOf } from '../../../src/sim/bytes.js';
import type { Changes, KnownLog, KnownStates } from '../../../src/sim/known-states.js';

/** What a key was from a revision on. */
interface Version {
  readonly revision: Revision;
  readonly item: Item | undefined;
}

/** What stood under one prefix from a revision on. */
interface Page {
  readonly revision: Revision;
  readonly items: readonly Item[];
}

const NONE: Changes = new Map();

/**
 * The states of the store, one revision after the other, from what was changed at each. Where a key came to be and how often it was put
 * is counted here and not taken from what nodes say.
 */
export class RecordedStates implements KnownStates {
  /** A run changes less than what is kept. */
  readonly compactedRevision = 0;
  private readonly changes: Changes[] = [NONE];
  private readonly versions = new Map<string, Version[]>();
  private readonly pages = new Map<string, readonly Page[]>();

  get revision(): Revision {
    return this.changes.length - 1;
  }

  /** What the next revision changed: of each key its value, content type and lease are read. */
  append(changes: Changes): void {
    const revision = this.changes.length;
    const counted = new Map<string, Item | undefined>();
    for (const [key, item] of changes) {
      const before = this.itemAt(key, revision - 1);
      const now = item && {
        ...item,
        modRevision: revision,
        createRevision: before?.createRevision ?? revision,
        version: (before?.version ?? 0) + 1,
      };
      counted.set(key, now);
      const versions = this.versions.get(key) ?? [];
      versions.push({ revision, item: now });
      this.versions.set(key, versions);
    }
    this.changes.push(counted);
    this.pages.clear();
  }

  changesOf(revision: Revision): Changes {
    return this.changes[revision] ?? NONE;
  }

  itemAt(key: string, revision: Revision): Item | undefined {
    return lastThrough(this.versions.get(key) ?? [], revision)?.item;
  }

  list(prefix: string, revision: Revision): readonly Item[] {
    if (revision === this.revision) return this.newest(prefix);
    const known = this.pages.get(prefix) ?? this.pagesOf(prefix);
    this.pages.set(prefix, known);
    return lastThrough(known, revision)?.items ?? [];
  }

  private newest(prefix: string): readonly Item[] {
    const items = [...this.versions]
      .filter(([key]) => key.startsWith(prefix))
      .flatMap(([, versions]) => versions.at(-1)?.item ?? []);
    return items.sort((one, other) => Buffer.compare(one.key, other.key));
  }

  /** Prefixes of the past that are asked for have few keys. */
  private pagesOf(prefix: string): readonly Page[] {
    const pages: Page[] = [];
    const now = new Map<string, Item>();
    this.changes.forEach((changes, revision) => {
      const concerned = [...changes].filter(([key]) => key.startsWith(prefix));
      if (concerned.length === 0) return;
      for (const [key, item] of concerned) {
        if (item === undefined) now.delete(key);
        else now.set(key, item);
      }
      const items = [...now.values()].sort((one, other) => (textOf(one.key) < textOf(other.key) ? -1 : 1));
      pages.push({ revision, items });
    });
    return pages;
  }
}

/** Seen from outside, a revision is how far the log was applied. */
export class RecordedLog implements KnownLog {
  /** The last revision that counts, as whoever asked then could have seen it. */
  last: Revision;

  constructor(private readonly states: RecordedStates) {
    this.last = states.revision;
  }

  get store(): KnownStates {
    const { states, last } = this;
    return {
      revision: last,
      compactedRevision: states.compactedRevision,
      itemAt: (key, revision) => states.itemAt(key, revision),
      list: (prefix, revision) => states.list(prefix, revision),
      changesOf: (revision) => states.changesOf(revision),
    };
  }

  revisionAt(index: number): Revision {
    return Math.min(index, this.last);
  }

  itemAt(key: string, index: number): Item | undefined {
    return this.states.itemAt(key, index);
  }
}

/** The last of a list in ascending order that is not above a revision. */
function lastThrough<Value extends { readonly revision: Revision }>(
  list: readonly Value[],
  revision: Revision,
): Value | undefined {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((list[middle]?.revision ?? 0) <= revision) low = middle + 1;
    else high = middle;
  }
  return list[low - 1];
}
