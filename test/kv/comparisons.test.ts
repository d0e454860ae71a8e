import { describe, expect, it } from 'vitest';
import { type Compared, holdAll } from '../../src/kv/comparisons.js';
import {
  type Command,
  type Compare,
  type CompareOperator,
  TXN_COMPARED_BYTES_MAX,
  type TxnCommand,
} from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { follower, open, perform } from './kit.js';
import { bytes, put } from './model.js';

const raise: Command = { kind: 'raiseVersion', version: 2 };
const large = (key: string): Command => ({
  kind: 'put',
  key: bytes(key),
  value: Buffer.alloc(TXN_COMPARED_BYTES_MAX + 1, key),
  contentType: 'text/plain',
});
const value = (key: string, op: CompareOperator, given = ''): Compare => ({
  key: bytes(key),
  target: 'value',
  op,
  value: bytes(given),
});
const ifAll = (...compare: Compare[]): TxnCommand => ({
  kind: 'txn',
  compare,
  success: [{ kind: 'put', key: bytes('done'), value: bytes(''), contentType: '' }],
  failure: [],
});

describe('the comparisons of a bounded transaction', () => {
  it('look at no further value once they have looked at too much, alike on a member that got a snapshot', async () => {
    const kv = await open(new MemoryDisk());
    // The size of the first is noted with the key, of the second not.
    await perform(kv, large('old'), raise, large('a'), large('b'));
    const tooMuch = { kind: 'answerTooLarge', revision: 3 };
    for (const member of [kv, await follower(new MemoryDisk(), kv)]) {
      for (const [one, other] of ['ab', 'ao', 'oa'].map((pair) =>
        [...pair].map((key) => key.replace('o', 'old')),
      )) {
        const command = { ...ifAll(value(one as string, '>'), value(other as string, '>')), isBounded: true };
        expect(await perform(member, command)).toEqual(tooMuch);
        expect(await member.readTxn({ ...command, success: [] })).toEqual(tooMuch);
        // Format 2 has no such bound, and members of cluster version 1 know none.
        expect(await perform(member, { ...command, isBounded: false, success: [] })).toMatchObject({
          succeeded: true,
        });
      }
      expect(await perform(member, { ...ifAll(value('a', '>'), value('a', '<')), isBounded: true })).toEqual(
        tooMuch,
      );
      expect(member.get(bytes('done'))).toBe(undefined);
    }
  });

  it('end with the first that does not hold, and one value may be as large as it is', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, raise, large('a'), large('b'));
    const first = { ...ifAll(value('a', '<'), value('b', '>')), isBounded: true };
    expect(await perform(kv, first)).toMatchObject({ kind: 'txn', succeeded: false });
    const one = { ...ifAll(value('missing', '!='), value('a', '>')), isBounded: true };
    expect(await perform(kv, one)).toMatchObject({ kind: 'txn', succeeded: true });
  });

  it('of the past look at no more either', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, raise, large('a'), large('b'), put('a', ''), put('b', ''));
    const isNew = (key: string): Compare => ({ key: bytes(key), target: 'version', op: '=', value: 1 });
    const command = { ...ifAll(isNew('a'), isNew('b')), success: [] };
    expect(await kv.readTxn({ ...command, compare: [isNew('a')] }, { revision: 2 })).toMatchObject({
      succeeded: true,
    });
    expect(await kv.readTxn(command, { revision: 2 })).toMatchObject({ kind: 'answerTooLarge' });
  });
});

describe('a comparison', () => {
  const stored = (valueBytes: number | undefined, read: () => void): Compared => ({
    state: { version: 1, createRevision: 1, modRevision: 1 },
    valueBytes,
    readBytes: 0,
    readValue: () => {
      read();
      return bytes('abc');
    },
  });

  it.each([
    ['=', 'ab', 3, false, 0],
    ['!=', 'ab', 3, true, 0],
    ['=', 'abc', 3, true, 1],
    ['!=', 'abd', 3, true, 1],
    ['>', 'ab', 3, true, 1],
    ['<', 'ab', 3, false, 1],
    ['=', 'ab', undefined, false, 1],
  ] as const)(
    '%s "%s" of a value of %s bytes: %s, and the value is read %i times',
    (op, given, size, holds, reads) => {
      let count = 0;
      const find = () =>
        stored(size, () => {
          count += 1;
        });
      expect(holdAll([value('k', op, given)], true, find)).toBe(holds);
      expect(count).toBe(reads);
    },
  );
});
