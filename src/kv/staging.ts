import { assert, present } from '../assert.js';
import { StorageDamaged } from '../errors.js';
import type { SnapshotMetadata } from '../raft/types.js';
import type { OrderedStore, StoreDirectory } from '../storage/ordered-store.js';
import { BufferedStore, type StateOptions } from './buffered-store.js';
import { stateDamaged } from './damage.js';
import { SnapshotCheck } from './snapshot-check.js';
import { decodeSnapshot, damaged as snapshotDamaged } from './snapshot-stream.js';

const STATE_NAME = /^state-([1-9]\d*)$/;

/** Snapshots that arrived and wait to become the live state. */
export class SnapshotStaging {
  readonly #directory: StoreDirectory;
  readonly #options: StateOptions;
  readonly #staged = new Map<string, { readonly state: BufferedStore; readonly store: OrderedStore }>();
  /** The highest number given in this process, so that two snapshots that arrive at once get two stores. */
  #lastNumber = 0;

  constructor(directory: StoreDirectory, options: StateOptions) {
    this.#directory = directory;
    this.#options = options;
  }

  /**
   * Writes a snapshot to a store of its own and checks it as a whole. Rejects, and removes what it wrote, when the
   * content is damaged, incomplete, or `chunks` throws.
   */
  async stage(metadata: SnapshotMetadata, chunks: AsyncIterable<Uint8Array>): Promise<string> {
    const name = await this.#newName();
    const store = await this.#directory.open(name);
    const check = new SnapshotCheck();
    try {
      for await (const pairs of decodeSnapshot(metadata, chunks, this.#options.sizes.batchBytes)) {
        judged(() => {
          for (const pair of pairs) check.take(pair);
        });
        await store.write(pairs.map(({ key, value }) => ({ kind: 'put', key, value })));
      }
      const state = await BufferedStore.load(
        name,
        store,
        this.#options,
        judged(() => check.end()),
      );
      if (state.meta.appliedIndex !== metadata.index || state.meta.appliedTerm !== metadata.term) {
        throw stateDamaged(`The snapshot of index ${metadata.index} holds the state of another index.`);
      }
      this.#staged.set(name, { state, store });
      return name;
    } catch (error) {
      await store.close();
      await this.#directory.remove(name);
      throw error;
    }
  }

  /** Hands over a staged state, to become the live one. */
  take(name: string): BufferedStore {
    const { state } = present(this.#staged.get(name), `There is no staged snapshot in ${name}.`);
    this.#staged.delete(name);
    return state;
  }

  /** Deletes a staged state; does nothing when there is none of that name. */
  async discard(name: string): Promise<void> {
    const staged = this.#staged.get(name);
    if (staged === undefined) return;
    this.#staged.delete(name);
    await staged.store.close();
    await this.#directory.remove(name);
  }

  async #newName(): Promise<string> {
    for (const name of await this.#directory.list()) {
      this.#lastNumber = Math.max(this.#lastNumber, Number(STATE_NAME.exec(name)?.[1] ?? 0));
    }
    this.#lastNumber += 1;
    assert(Number.isSafeInteger(this.#lastNumber), 'States are numbered by safe integers.');
    return `state-${this.#lastNumber}`;
  }
}

/** What is wrong with the sender's records is wrong with the snapshot; the state here is whole. */
function judged<Value>(check: () => Value): Value {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof StorageDamaged)) throw error;
    throw snapshotDamaged(`its records are damaged (${error.what})`);
  }
}
