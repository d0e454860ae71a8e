import { unreachable } from '../assert.js';
import type { KeyState } from './record-codec.js';
import { type Compare, type CompareOperator, TXN_COMPARED_BYTES_MAX } from './types.js';

/** A key that exists, as comparisons see it. */
export interface Compared {
  readonly state: Pick<KeyState, 'version' | 'createRevision' | 'modRevision'>;
  /** Bytes of the value; undefined where only the value itself tells. */
  readonly valueBytes: number | undefined;
  /** Bytes of values that were read to find the key. */
  readonly readBytes: number;
  readonly readValue: () => Uint8Array;
}

/**
 * Whether all comparisons of a transaction hold; undefined where finding out takes more than may be read. Values of another length
 * than the one that they are compared with are told apart without being read.
 *
 * @param isBounded Whether {@link TXN_COMPARED_BYTES_MAX} holds.
 * @param find What stands under a key; undefined where it does not exist.
 */
export function holdAll(
  comparisons: readonly Compare[],
  isBounded: boolean,
  find: (key: Uint8Array) => Compared | undefined,
): boolean | undefined {
  let bytes = 0;
  for (const compare of comparisons) {
    const existing = find(compare.key);
    if (isBounded && bytes > TXN_COMPARED_BYTES_MAX && (existing?.readBytes ?? 0) > 0) return undefined;
    bytes += existing?.readBytes ?? 0;
    if (compare.target !== 'value' || existing === undefined) {
      if (!holds(compare, existing)) return false;
      continue;
    }
    const { op, value } = compare;
    const isOfSameLength = existing.valueBytes === undefined || existing.valueBytes === value.length;
    if ((op === '=' || op === '!=') && !isOfSameLength) {
      if (op === '=') return false;
      continue;
    }
    // The first one is always read, however large.
    if (isBounded && bytes > TXN_COMPARED_BYTES_MAX) return undefined;
    const found = existing.readValue();
    bytes += found.length;
    if (!isInOrder(Buffer.compare(found, value), op)) return false;
  }
  return true;
}

/** Whether a comparison holds that needs no value. */
function holds(compare: Compare, existing: Compared | undefined): boolean {
  switch (compare.target) {
    case 'value':
      return compare.op === '!=';
    case 'exists':
      return (existing !== undefined) === (compare.value === (compare.op === '='));
    case 'version':
    case 'createRevision':
    case 'modRevision':
      return isInOrder((existing?.state[compare.target] ?? 0) - compare.value, compare.op);
    default:
      return unreachable(compare);
  }
}

/** Whether two things stand to each other as `op` says, of which `order` is negative, zero or positive. */
function isInOrder(order: number, op: CompareOperator): boolean {
  switch (op) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '>':
      return order > 0;
  }
}
