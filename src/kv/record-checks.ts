import type { Pair } from '../storage/ordered-store.js';
import { decodeAnswer } from './answer-codec.js';
import { stateDamaged } from './damage.js';
import { decodeMeta } from './meta-codec.js';
import {
  decodeLease,
  leaseKey,
  TAG_ANSWER,
  TAG_ANSWERS,
  TAG_ATTACHMENT,
  TAG_CHANGES,
  TAG_FILED_ANSWERS,
  TAG_LEASE,
  TAG_META,
  unsealParts,
} from './record-codec.js';

/**
 * Checks a record by itself, unless it is one of a key or a version, of which those who read them learn more. Throws
 * `storage_damaged`.
 */
export function checkAlone({ key, value }: Pair): void {
  switch (key[0]) {
    case TAG_LEASE:
      if (Buffer.compare(leaseKey(decodeLease(value).lease), key) !== 0)
        throw stateDamaged(`${nameOfRecord(key)} is of another lease.`);
      return;
    case TAG_ATTACHMENT:
      if (value.length > 0) throw stateDamaged(`${nameOfRecord(key)} has a value.`);
      return;
    case TAG_CHANGES:
    case TAG_ANSWERS:
    case TAG_FILED_ANSWERS:
      unsealParts(value, 'The record of a journal');
      return;
    case TAG_ANSWER:
      decodeAnswer(value);
      return;
    case TAG_META:
      decodeMeta(value);
      return;
  }
}

export function keyInWords(key: Uint8Array): string {
  return `the key ${JSON.stringify(Buffer.from(key).toString())}`;
}

export function nameOfRecord(key: Uint8Array): string {
  return `The record ${JSON.stringify(Buffer.from(key).toString('latin1'))}`;
}
