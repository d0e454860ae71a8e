import { RaftkvError } from '../errors.js';
import type { Cluster } from './cluster.js';
import type { Prng } from './prng.js';
import type { Server, SimNode } from './sim-node.js';

/** How far back reads of the past go at most. */
const REVISIONS_BACK_MAX = 40;
const PAGE_KEYS_MAX = 8;

/** Reads of what a node has, now or at an earlier revision: they ask nobody else, and may show what is old, never what is wrong. */
export class PastReader {
  constructor(
    private readonly cluster: Cluster,
    private readonly random: Prng,
  ) {}

  read(node: SimNode, key: Uint8Array): void {
    const kind = this.random.pick(['newest', 'past', 'page'] as const);
    if (kind === 'newest') this.readNewest(node, key);
    else if (kind === 'past') this.readPast(node, key);
    else this.readPage(node);
  }

  private readNewest(node: SimNode, key: Uint8Array): void {
    const task = ({ service, store }: Server) => ({
      item: service.get(key, undefined),
      appliedIndex: store.appliedIndex,
    });
    this.cluster.ask(node, task, (answer) => {
      if (!('value' in answer)) return;
      const { item, appliedIndex } = answer.value;
      const { shownStates } = this.cluster.checkers;
      this.cluster.check(() => shownStates.newest(node.id, key, item, appliedIndex));
    });
  }

  private readPast(node: SimNode, key: Uint8Array): void {
    const back = this.random.integer(0, REVISIONS_BACK_MAX);
    const task = ({ service, store }: Server) => {
      const revision = Math.max(1, store.revision - back);
      // A store that nothing was put into has no revision to read.
      if (revision > store.revision) return undefined;
      return { revision, answer: tryTo(() => service.get(key, revision)) };
    };
    this.cluster.ask(node, task, (outcome) => {
      if (!('value' in outcome) || outcome.value === undefined) return;
      const { revision, answer } = outcome.value;
      const { shownStates } = this.cluster.checkers;
      this.cluster.check(() => {
        if (answer.isCompacted) shownStates.compacted(node.id, revision);
        else shownStates.past(node.id, key, answer.value, revision);
      });
    });
  }

  /** Entries are applied while the page is read. */
  private readPage(node: SimNode): void {
    const prefix = Buffer.from(this.random.chance(0.5) ? '' : 'key-');
    const limit = this.random.integer(1, PAGE_KEYS_MAX);
    const request = { prefix, after: undefined, limit, keysOnly: false, revision: undefined };
    this.cluster.ask(
      node,
      ({ service }) => service.list(request),
      (answer) => {
        if (!('value' in answer)) return;
        this.cluster.check(() => this.cluster.checkers.shownStates.page(node.id, prefix, answer.value));
      },
    );
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
