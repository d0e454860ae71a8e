import { walkAttached } from './attachments.js';
import type { BufferedStore } from './buffered-store.js';
import { deletionOf, digestWith, type PlannedChanges } from './changes.js';
import { stateDamaged } from './damage.js';
import type { Layers } from './reader.js';
import { DELETED_KEY_BYTES_MAX, DELETED_KEYS_MAX, type LeaseId } from './types.js';
import { type BufferedChange, keyId } from './write-buffer.js';

/** What the end of a lease deletes, and whether it has more keys than one command may delete. */
export interface LeaseEnd extends PlannedChanges {
  readonly remaining: boolean;
}

/**
 * Finds the keys of a lease, in many turns of the event loop; nothing may be applied meanwhile.
 *
 * @param after A key up to which the lease has none: each step of an end would otherwise pass over what those before it deleted.
 */
export async function planLeaseEnd(
  live: BufferedStore,
  layers: Layers,
  lease: LeaseId,
  after: Uint8Array | undefined,
): Promise<LeaseEnd> {
  const revision = live.meta.revision + 1;
  const changes: BufferedChange[] = [];
  let { digest } = live.meta;
  let bytes = 0;
  for await (const keys of walkAttached(layers, lease, after)) {
    for (const key of keys) {
      bytes += key.length;
      if (changes.length === DELETED_KEYS_MAX || bytes > DELETED_KEY_BYTES_MAX) {
        return { changes, digest, remaining: true };
      }
      const id = keyId(key);
      const current = live.current(id, key);
      if (current?.lease !== lease) throw stateDamaged(`A key of lease ${lease} is attached to another one.`);
      const change = deletionOf({ id, key, current }, revision);
      digest = digestWith(digest, change);
      changes.push(change);
    }
  }
  return { changes, digest, remaining: false };
}
