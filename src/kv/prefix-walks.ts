import { type FoundKey, type Layers, walk } from './reader.js';
import type { KeyId } from './sorted-map.js';
import { SparseDisk } from './sparse-disk.js';
import type { Revision } from './types.js';
import { keyId } from './write-buffer.js';

/** Keys that are remembered of finished walks, and bytes of their names. */
const KEPT_KEYS_MAX = 20_000;
const KEPT_KEY_BYTES_MAX = 4 * 1024 * 1024;

/**
 * The keys under the prefixes of one command, in a view that does not change. What a walk has found is remembered, so that a
 * command that names one prefix, or what is below it, many times pays for it once.
 */
export class PrefixWalks {
  /** Keys that were passed over on the way, tombstones included. */
  passed = 0;
  readonly #layers: Layers;
  readonly #finished: { readonly id: KeyId; readonly keys: readonly FoundKey[] }[] = [];
  #keptKeys = 0;
  #keptBytes = 0;

  readonly #revision: Revision;

  /** @param revision The revision that is read: of the view, or of its past. */
  constructor(layers: Layers, revision: Revision) {
    this.#layers = { ...layers, disk: new SparseDisk(layers.disk) };
    this.#revision = revision;
  }

  /** The keys with a prefix that may exist at the revision, in byte order, a bounded number at a time. */
  async *under(prefix: Uint8Array): AsyncGenerator<readonly FoundKey[]> {
    const id = keyId(prefix);
    const known = this.#finished.find((walked) => id.startsWith(walked.id));
    if (known === undefined) yield* this.#walk(id, prefix);
    else yield* this.#remembered(id, known.keys);
  }

  async *#walk(id: KeyId, prefix: Uint8Array): AsyncGenerator<readonly FoundKey[]> {
    const keys: FoundKey[] = [];
    let bytes = 0;
    const hasRoom = () =>
      this.#keptKeys + keys.length <= KEPT_KEYS_MAX && this.#keptBytes + bytes <= KEPT_KEY_BYTES_MAX;
    for await (const found of walk(this.#layers, prefix, undefined, this.#revision)) {
      this.passed += found.length;
      // What is deleted later on, while this is read, is there at the revision.
      const existing = found.filter(
        ({ current }) => !current.deleted || current.modRevision > this.#revision,
      );
      if (hasRoom()) {
        keys.push(...existing);
        for (const { key } of existing) bytes += key.length;
      }
      yield existing;
    }
    // Only a walk to the end knows all keys.
    if (!hasRoom()) return;
    this.#finished.push({ id, keys });
    this.#keptKeys += keys.length;
    this.#keptBytes += bytes;
  }

  async *#remembered(id: KeyId, keys: readonly FoundKey[]): AsyncGenerator<readonly FoundKey[]> {
    let low = 0;
    let high = keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((keys[middle]?.id ?? id) < id) low = middle + 1;
      else high = middle;
    }
    const { step: turn, sizes } = this.#layers;
    for (let at = low; at < keys.length; at += sizes.keys) {
      await turn();
      const step = keys.slice(at, at + sizes.keys);
      const end = step.findIndex((key) => !key.id.startsWith(id));
      this.passed += end < 0 ? step.length : end;
      if (end >= 0) {
        yield step.slice(0, end);
        return;
      }
      yield step;
    }
  }
}
