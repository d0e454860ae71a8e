import { RaftkvError } from '../errors.js';
import type { Revision } from '../kv/types.js';
import type { Cluster } from './cluster.js';
import type { Prng } from './prng.js';
import type { Server, SimNode } from './sim-node.js';

/** How far back reads of the past go at most. */
const REVISIONS_BACK_MAX = 40;
const PAGE_KEYS_MAX = 8;

/** How long a read waits for the revision that it asks for. */
const WAIT_MS = 500;
/** How often a read of the past is of the very oldest revision that the node keeps. */
const OLDEST_RATE = 0.2;

/** Reads of what a node has, now or at an earlier revision: they ask nobody else, and may show what is old, never what is wrong. */
export class PastReader {
  constructor(
    private readonly cluster: Cluster,
    private readonly random: Prng,
  ) {}

  read(node: SimNode, key: Uint8Array, prefix: Uint8Array): void {
    const kind = this.random.pick(['newest', 'awaited', 'past', 'page', 'page', 'count'] as const);
    if (kind === 'newest') this.readNewest(node, key, 0);
    else if (kind === 'awaited')
      this.readNewest(node, key, this.cluster.checkers.referenceModel.store.revision);
    else if (kind === 'past') this.readPast(node, key);
    else if (kind === 'count') this.count(node);
    else this.readPages(node, this.random.chance(0.3) ? new Uint8Array(0) : prefix);
  }

  /** @param minRevision What is shown must be at least as new. */
  private readNewest(node: SimNode, key: Uint8Array, minRevision: Revision): void {
    const task = async ({ service, store }: Server) => {
      if (minRevision > 0) await service.waitForRevision(minRevision, WAIT_MS);
      return { item: service.get(key, undefined), appliedIndex: store.appliedIndex };
    };
    this.cluster.read(node, task, (answer) => {
      if (!('value' in answer)) return;
      const { item, appliedIndex } = answer.value;
      const { shownStates } = this.cluster.checkers;
      this.cluster.check(() => shownStates.newest(node.id, key, item, appliedIndex));
      this.cluster.check(() => shownStates.reaches(node.id, minRevision, appliedIndex));
    });
  }

  private readPast(node: SimNode, key: Uint8Array): void {
    const back = this.random.integer(0, REVISIONS_BACK_MAX);
    const isOldest = this.random.chance(OLDEST_RATE);
    const task = ({ service, store }: Server) => {
      const { compactedRevision: oldest } = store;
      const revision = Math.max(1, isOldest ? oldest : store.revision - back);
      // A store that nothing was put into has no revision to read.
      if (revision > store.revision) return undefined;
      return { revision, oldest, answer: tryTo(() => service.get(key, revision)) };
    };
    this.cluster.read(node, task, (outcome) => {
      if (!('value' in outcome) || outcome.value === undefined) return;
      const { revision, oldest, answer } = outcome.value;
      const { shownStates } = this.cluster.checkers;
      this.cluster.check(() => {
        if (answer.isCompacted) shownStates.compacted(node.id, revision, oldest);
        else shownStates.past(node.id, key, answer.value, revision);
      });
    });
  }

  /** All pages of a listing at one revision, each after the last key of the one before. Entries are applied meanwhile. */
  private readPages(node: SimNode, prefix: Uint8Array): void {
    const limit = this.random.integer(1, PAGE_KEYS_MAX);
    const back = this.random.chance(0.5) ? 0 : this.random.integer(1, REVISIONS_BACK_MAX);
    const readOn = (after: Uint8Array | undefined, revision: Revision | undefined) => {
      this.cluster.read(
        node,
        async ({ service, store }) => {
          const first = back === 0 || store.revision <= back ? undefined : store.revision - back;
          return service.list({ prefix, after, limit, keysOnly: false, revision: revision ?? first });
        },
        (answer) => {
          // The others of a revision that is dropped meanwhile are refused.
          if (!('value' in answer)) return;
          const page = answer.value;
          this.cluster.check(() => this.cluster.checkers.shownStates.page(node.id, prefix, page, after));
          if (page.more) readOn(page.items.at(-1)?.key, page.revision);
        },
      );
    };
    readOn(undefined, undefined);
  }

  private count(node: SimNode): void {
    // What a node in quarantine counts is for its metrics alone.
    const task = ({ node, service, store }: Server) =>
      node.quarantine === null ? { count: service.countKeys(), appliedIndex: store.appliedIndex } : undefined;
    this.cluster.read(node, task, (answer) => {
      if (!('value' in answer) || answer.value?.count === undefined) return;
      const { count, appliedIndex } = answer.value;
      this.cluster.check(() => this.cluster.checkers.shownStates.counted(node.id, count, appliedIndex));
    });
  }
}

function tryTo<Value>(read: () => Value) {
  try {
    return { isCompacted: false, value: read() } as const;
  } catch (error) {
    if (error instanceof RaftkvError && error.code === 'compacted') return { isCompacted: true } as const;
    throw error;
  }
}
