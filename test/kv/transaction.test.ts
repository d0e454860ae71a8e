import { describe, expect, it } from 'vitest';
import {
  type Command,
  DELETED_KEYS_MAX,
  TXN_ANSWER_BYTES_MAX,
  TXN_ITEM_BYTES,
  type TxnOperation,
} from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { deletion, follower, open, perform, reopen } from './kit.js';
import { bytes, commandEntry, plain, plainBytes, put, text } from './model.js';

const set = (key: string, value = ''): TxnOperation => ({
  kind: 'put',
  key: bytes(key),
  value: bytes(value),
  contentType: '',
});
const get = (key: string): TxnOperation => ({ kind: 'get', key: bytes(key) });
const getPrefix = (prefix: string): TxnOperation => ({ kind: 'getPrefix', prefix: bytes(prefix) });
const remove = (key: string): TxnOperation => ({ kind: 'delete', key: bytes(key) });
const removePrefix = (prefix: string): TxnOperation => ({ kind: 'deletePrefix', prefix: bytes(prefix) });
const all = (...success: TxnOperation[]): Command => ({ kind: 'txn', compare: [], success, failure: [] });

describe('a transaction', () => {
  it('moves what a key holds to another one at one revision', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, put('from', 'x'));
    const move: Command = {
      kind: 'txn',
      compare: [{ key: bytes('from'), target: 'modRevision', op: '=', value: 1 }],
      success: [set('to', 'x'), remove('from'), get('to'), get('from')],
      failure: [get('from')],
    };
    const item = { key: 'to', value: 'x', createRevision: 2, modRevision: 2, version: 1, contentType: '' };
    const moved = await perform(kv, move);
    expect(moved).toMatchObject({ kind: 'txn', revision: 2, succeeded: true });
    expect(moved?.kind === 'txn' && plainBytes(moved.results)).toEqual(
      plainBytes([
        { kind: 'put', key: bytes('to'), created: true },
        { kind: 'delete', deleted: 1 },
        { kind: 'get', items: [{ ...item, key: bytes('to'), value: bytes('x') }] },
        { kind: 'get', items: [] },
      ]),
    );
    expect([plain(kv.get(bytes('to'))), kv.get(bytes('from'))]).toEqual([item, undefined]);
    expect(await perform(kv, move)).toEqual({
      kind: 'txn',
      revision: 2,
      succeeded: false,
      results: [{ kind: 'get', items: [] }],
    });
  });

  it('takes no revision when nothing changed, even if something did in between', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, put('gone', ''), deletion('gone'));
    const { digest } = kv;
    for (const command of [
      all(),
      all(get('a'), remove('a'), removePrefix('a')),
      all(set('a'), remove('a')),
      // Members differ in which tombstones are left.
      all(set('gone'), remove('gone')),
      all(set('b'), set('gone'), removePrefix('b'), removePrefix('g')),
    ]) {
      expect(await perform(kv, command)).toMatchObject({ kind: 'txn', revision: 2 });
    }
    expect([kv.revision, kv.digest]).toEqual([2, digest]);
  });

  it('leaves one version of a key that it writes more than once', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await perform(kv, put('a', '1'), put('b', '1'), put('b', '2'));
    await perform(
      kv,
      all(set('a', '2'), set('a', '3'), remove('b'), set('b', '3'), set('c'), removePrefix('c')),
    );
    expect([plain(kv.get(bytes('a'))), plain(kv.get(bytes('b'))), kv.get(bytes('c'))]).toEqual([
      { key: 'a', value: '3', createRevision: 1, modRevision: 4, version: 2, contentType: '' },
      { key: 'b', value: '3', createRevision: 4, modRevision: 4, version: 1, contentType: '' },
      undefined,
    ]);
    await kv.flush();
    const again = await reopen(disk, kv);
    expect([again.digest, again.revision]).toEqual([kv.digest, 4]);
    expect(text(again.get(bytes('a'), 3)?.value ?? bytes('none'))).toBe('1');
  });

  it('lists by prefix what it wrote among what was there, in byte order', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, put('k/2', 'old'), put('k/4', 'old'), put('k/6', 'old'));
    await kv.flush();
    await perform(kv, put('k/3', 'old'));
    const result = await perform(
      kv,
      all(
        set('k/5', 'new'),
        set('k/1', 'new'),
        set('k/4', 'new'),
        remove('k/3'),
        set('l', 'new'),
        getPrefix('k/'),
      ),
    );
    const last = result?.kind === 'txn' ? result.results.at(-1) : undefined;
    expect(last?.kind === 'get' && last.items.map(({ key, value }) => `${text(key)} ${text(value)}`)).toEqual(
      ['k/1 new', 'k/2 old', 'k/4 new', 'k/5 new', 'k/6 old'],
    );
  });

  it('lists all keys by the empty prefix, those that it wrote among them', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, put('\xff', 'old'), put('b', 'old'), put('gone', 'old'));
    await kv.flush();
    await perform(kv, put('\x00', 'old'));
    const result = await perform(kv, all(set('a', 'new'), remove('gone'), getPrefix('')));
    const last = result?.kind === 'txn' ? result.results.at(-1) : undefined;
    expect(last?.kind === 'get' && last.items.map(({ key, value }) => `${text(key)} ${text(value)}`)).toEqual(
      ['\x00 old', 'a new', 'b old', '\xff old'],
    );
  });

  it('is applied at once when it names its keys, and waits only for the prefixes of the branch that it takes', async () => {
    const kv = await open(new MemoryDisk());
    expect(kv.prepare(commandEntry(1, all(set('a'), get('a'), remove('b'))))).toBeUndefined();
    const other: Command = { kind: 'txn', compare: [], success: [get('a')], failure: [getPrefix('a')] };
    expect(kv.prepare(commandEntry(1, other))).toBeUndefined();
    await expect(kv.prepare(commandEntry(1, all(getPrefix('a'))))).resolves.toBeUndefined();
  });

  it('changes nothing when it deletes more keys than one command may, over all its operations', async () => {
    const kv = await open(new MemoryDisk());
    for (let key = 0; key < DELETED_KEYS_MAX; key += 1)
      await perform(kv, put(`${key % 2 ? 'a' : 'b'}/${key}`, ''));
    await perform(kv, put('c', ''));
    const { revision, digest } = kv;
    const tooMany = all(set('new'), removePrefix('a/'), removePrefix('b/'), remove('c'));
    expect(await perform(kv, tooMany)).toEqual({ kind: 'tooManyKeys', revision });
    expect([kv.digest, kv.revision, kv.get(bytes('new'))]).toEqual([digest, revision, undefined]);
    expect(await perform(kv, all(removePrefix('a/'), removePrefix('b/'), getPrefix('c')))).toMatchObject({
      kind: 'txn',
      revision: revision + 1,
      results: [{ deleted: DELETED_KEYS_MAX / 2 }, { deleted: DELETED_KEYS_MAX / 2 }, { items: [{}] }],
    });
  });

  it('changes nothing when its gets find more than an answer may hold', async () => {
    const kv = await open(new MemoryDisk());
    const half = TXN_ANSWER_BYTES_MAX / 2 - TXN_ITEM_BYTES - 'a'.length;
    await perform(kv, put('a', 'v'.repeat(half)), put('b', 'v'.repeat(half)));
    expect(await perform(kv, all(get('a'), get('b')))).toMatchObject({ kind: 'txn' });
    for (const last of [get('b'), getPrefix('b')]) {
      await perform(kv, put('b', 'v'.repeat(half)));
      expect(await perform(kv, all(get('a'), last))).toMatchObject({ kind: 'txn' });
      await perform(kv, put('b', 'v'.repeat(half + 1)));
      const { revision, digest } = kv;
      expect(await perform(kv, all(set('c'), get('a'), last))).toEqual({ kind: 'answerTooLarge', revision });
      expect([kv.digest, kv.revision]).toEqual([digest, revision]);
    }
  });

  const passing = (key: string, ttlMs: number): TxnOperation => ({ ...set(key), ttlMs }) as TxnOperation;

  it('grants keys leases of their own, with ids in the order of its puts', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await perform(kv, { kind: 'leaseGrant', ttlMs: 50 });
    const result = await perform(kv, all(passing('b', 20), set('c'), passing('a', 10)));
    expect(result?.kind === 'txn' && result.results.map((one) => 'lease' in one && one.lease)).toEqual([
      2,
      false,
      3,
    ]);
    expect(kv.leases(0, 9)).toMatchObject([
      { own: false },
      { lease: 2, ttlMs: 20, own: true },
      { ttlMs: 10, own: true },
    ]);
    expect([plain(kv.get(bytes('a')))?.lease, (await kv.leaseKeys(2, 9)).map(text)]).toEqual([3, ['b']]);
    await kv.flush();
    const again = await reopen(disk, kv);
    expect([again.digest, again.leaseCount]).toEqual([kv.digest, 3]);
    // It goes with its key, and another key may take it over.
    await perform(kv, all({ ...set('d'), lease: 3 } as TxnOperation, remove('b'), set('a')));
    expect(kv.leases(0, 9)).toMatchObject([{ lease: 1 }, { lease: 3, own: false }]);
  });

  it('leaves no lease of a key that it changes again', async () => {
    const kv = await open(new MemoryDisk());
    const twice = await perform(kv, all(passing('a', 10), passing('a', 20), passing('b', 30), remove('b')));
    expect(twice).toMatchObject({ results: [{ lease: 1 }, { lease: 2 }, { lease: 3 }, { deleted: 1 }] });
    expect(kv.leases(0, 9)).toMatchObject([{ lease: 2, ttlMs: 20 }]);
    // The ids are not given again, and one of the transaction is not there for its other operations.
    expect(await perform(kv, all(passing('c', 10), { ...set('d'), lease: 4 } as TxnOperation))).toMatchObject(
      {
        kind: 'leaseNotFound',
      },
    );
    expect(await perform(kv, all(passing('c', 10)))).toMatchObject({ results: [{ lease: 4 }] });
  });

  it('counts, and leaves a counter the lease of its own', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, all({ ...passing('n', 10), value: bytes('5') } as TxnOperation));
    const add = (key: string, delta: number, initial = 0): TxnOperation => ({
      kind: 'add',
      key: bytes(key),
      delta,
      initial,
    });
    const counted = await perform(kv, all(add('n', 2), add('n', 3), add('m', -1, 10), get('n')));
    expect(counted).toMatchObject({
      revision: 2,
      results: [
        { kind: 'add', created: false, value: 7 },
        { kind: 'add', created: false, value: 10 },
        { kind: 'add', created: true, value: 9 },
        { items: [{ version: 2, lease: 1 }] },
      ],
    });
    expect(kv.leases(0, 9)).toMatchObject([{ lease: 1, own: true }]);
    const { digest } = kv;
    expect(await perform(kv, all(add('n', 1), add('m', Number.MAX_SAFE_INTEGER)))).toEqual({
      kind: 'sumOutOfRange',
      revision: 2,
    });
    expect(await perform(kv, all(set('x', 'word'), add('x', 1)))).toEqual({
      kind: 'notANumber',
      revision: 2,
    });
    expect([kv.digest, text(kv.get(bytes('n'))?.value ?? bytes(''))]).toEqual([digest, '10']);
    await perform(kv, deletion('n'));
    expect(kv.leaseCount).toBe(0);
  });

  it('gives other members the same state in a snapshot', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, put('a', '1'), all(set('a', '2'), set('b', '2'), remove('nothing')));
    const other = await follower(new MemoryDisk(), kv);
    const next = all(set('a', '3'), removePrefix('b'));
    expect(await perform(other, next)).toEqual(await perform(kv, next));
    expect(other.digest).toBe(kv.digest);
  });
});
