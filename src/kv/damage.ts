import { StorageDamaged } from '../errors.js';

/** The state contradicts itself. `what` is a full sentence that names the record. */
export function stateDamaged(what: string): StorageDamaged {
  return new StorageDamaged('state', what);
}
