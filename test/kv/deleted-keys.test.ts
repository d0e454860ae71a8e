import { describe, expect, it } from 'vitest';
import { currentKey, encodeCurrent } from '../../src/kv/record-codec.js';
import { type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import { STEP_SIZES } from '../../src/kv/step-sizes.js';
import { branchesOf, measureWalks } from '../../src/kv/transaction.js';
import {
  type Command,
  DELETED_KEYS_MAX,
  DELETED_KEYS_PASSED_MAX,
  type DeletePrefixCommand,
  PASSED_KEYS_MAX,
  type TxnCommand,
} from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { Scan, StoreDirectory } from '../../src/storage/ordered-store.js';
import { deletePrefix, perform, reopen } from './kit.js';
import { bytes, put, text } from './model.js';
import { observedStores } from './observed-stores.js';

/** A disk that counts the pairs that scans give. */
class CountingDisk {
  readonly disk = new MemoryDisk();
  pairs = 0;

  directory(): StoreDirectory {
    const directory = this.disk.directory();
    const counted = (made: Scan): Scan => ({
      next: async (countMax) => {
        const found = await made.next(countMax);
        this.pairs += found.length;
        return found;
      },
      close: () => made.close(),
    });
    return observedStores(directory, { scan: counted });
  }
}

const raise: Command = { kind: 'raiseVersion', version: 2 };
const COUNT = 3_000;

const bounds = { existing: PASSED_KEYS_MAX, deleted: DELETED_KEYS_PASSED_MAX };

const tooMany = async (kv: KvStateMachine, command: TxnCommand | DeletePrefixCommand) =>
  (await kv.measureWalks(command, bounds)) === undefined;

const tombstone = encodeCurrent({
  createRevision: 1,
  modRevision: 2,
  version: 0,
  deleted: true,
  contentType: '',
  lease: 0,
  generation: 2,
  ancestors: [],
  bytes: 0,
});

const all = (prefix = '') => ({
  prefix: bytes(prefix),
  after: undefined,
  limit: 2,
  keysOnly: true,
  revision: undefined,
});

async function afterDeletions() {
  const counting = new CountingDisk();
  const kv = await openKv(counting.directory(), 'state-1');
  await perform(kv, raise);
  for (let number = 0; number < COUNT; number += 1) await perform(kv, put(`d/${number}`, 'x'));
  await perform(kv, put('e', 'y'));
  const before = kv.revision;
  await kv.flush();
  await perform(kv, deletePrefix('d/'));
  await kv.flush();
  counting.pairs = 0;
  return { counting, kv, before };
}

const gets = (...prefixes: readonly string[]): TxnCommand => ({
  kind: 'txn',
  compare: [],
  success: prefixes.map((prefix) => ({ kind: 'getPrefix', prefix: bytes(prefix) })),
  failure: [],
});

describe('deleted keys', () => {
  it('cost a listing, a transaction and a deletion by prefix nothing', async () => {
    const { counting, kv } = await afterDeletions();
    const { items } = await kv.list(all());
    expect(items.map(({ key }) => text(key))).toEqual(['e']);
    expect((await kv.readTxn(gets('', 'd/'))).kind).toBe('txn');
    await perform(kv, { ...gets('d/'), isBounded: true }, deletePrefix('d/'));
    expect(counting.pairs).toBeLessThan(20);
  });

  it('are there in the past, and are what they were when they are put again', async () => {
    const { counting, kv, before } = await afterDeletions();
    const past = await kv.list({ ...all(), limit: 1_000, revision: before });
    expect([past.items.length, past.more]).toEqual([1_000, true]);
    const reopened = await openKv(counting.directory(), 'state-1').catch(() => reopen(counting.disk, kv));
    await perform(reopened, put('d/7', 'again'));
    await reopened.flush();
    expect(text(reopened.get(bytes('d/7'), before)?.value ?? bytes(''))).toBe('x');
    expect(reopened.get(bytes('d/7'), before + 1)).toBeUndefined();
    expect(reopened.get(bytes('d/7'))).toMatchObject({ version: 1, createRevision: before + 2 });
    expect((await reopened.list(all())).items.map(({ key }) => text(key))).toEqual(['d/7', 'e']);
  });

  it('stand where older programs look for them until the cluster version allows another place', async () => {
    const counting = new CountingDisk();
    const kv = await openKv(counting.directory(), 'state-1');
    await perform(kv, put('a', 'x'), { kind: 'delete', key: bytes('a') });
    await kv.flush();
    await kv.list(all());
    expect(counting.pairs).toBe(1);
    // It is found there afterwards, too, and its chain goes on.
    await perform(kv, raise, put('a', 'y'), { kind: 'delete', key: bytes('a') });
    await kv.flush();
    counting.pairs = 0;
    await kv.list(all());
    expect(counting.pairs).toBe(0);
    expect(text(kv.get(bytes('a'), 3)?.value ?? bytes(''))).toBe('y');
    expect(text(kv.get(bytes('a'), 1)?.value ?? bytes(''))).toBe('x');
  });
});

describe('a transaction that walks prefixes', () => {
  it('reads keys from the disk once, however often it names their prefix, or one below it', async () => {
    const counting = new CountingDisk();
    const kv = await openKv(counting.directory(), 'state-1');
    for (let number = 0; number < 100; number += 1) await perform(kv, put(`k/${number}`, 'x'));
    await kv.flush();
    counting.pairs = 0;
    const result = await perform(kv, gets('k', ...Array.from({ length: 30 }, (_, at) => `k/${at}`), 'k/'));
    const counts =
      result?.kind === 'txn' ? result.results.map((one) => one.kind === 'get' && one.items.length) : [];
    // Under "k", "k/0", "k/1", "k/10" and "k/".
    expect([0, 1, 2, 11, 31].map((at) => counts[at])).toEqual([100, 1, 11, 1, 100]);
    expect(counting.pairs).toBe(100);
  });

  it('passes over a bounded number of keys, counted alike by all members', async () => {
    const kv = await openKv(new MemoryDisk().directory(), 'state-1');
    await perform(kv, raise);
    const count = PASSED_KEYS_MAX / 4;
    for (let number = 0; number < count; number += 1) await perform(kv, put(`k/${number}`, ''));
    // Keys that it deletes are passed over again by what follows.
    const four: TxnCommand = {
      kind: 'txn',
      compare: [],
      success: [
        { kind: 'deletePrefix', prefix: bytes('k/') },
        ...['k', 'k/', ''].map((prefix) => ({ kind: 'getPrefix' as const, prefix: bytes(prefix) })),
      ],
      failure: [],
    };
    const five = {
      ...four,
      success: [...four.success, { kind: 'getPrefix' as const, prefix: bytes('k/1') }],
    };
    const { revision } = kv;
    expect(await tooMany(kv, four)).toBe(false);
    expect(await tooMany(kv, five)).toBe(true);
    expect(await tooMany(kv, { ...five, success: [], failure: five.success })).toBe(true);
    expect(await perform(kv, { ...five, isBounded: true })).toEqual({ kind: 'tooManyKeys', revision });
    // What an older program proposed is done as it would do it.
    expect((await perform(kv, five))?.kind).toBe('txn');
  });

  it('is not refused when it is a repeat, however much there is by now', async () => {
    const kv = await openKv(new MemoryDisk().directory(), 'state-1');
    const idempotency = { key: 'k', fingerprint: new Uint8Array(16) };
    const repeated: TxnCommand = { ...gets('k', 'k', 'k'), idempotency };
    const first = await perform(kv, repeated);
    for (let number = 0; number <= PASSED_KEYS_MAX / 3; number += 1)
      await perform(kv, put(`k/${number}`, ''));
    expect(await tooMany(kv, gets('k', 'k', 'k'))).toBe(true);
    expect(await tooMany(kv, repeated)).toBe(false);
    expect(await perform(kv, repeated)).toEqual(first);
  });
});

describe('a deletion by prefix', () => {
  it('is refused before it is proposed where it would pass over too many tombstones', async () => {
    const remove = { kind: 'deletePrefix', prefix: bytes('k/') } as const;
    const passesTooMany = (count: number) => {
      let given = 0;
      // As before cluster version 2, when tombstones stood among the keys that exist.
      const scan = (): Scan => ({
        next: async (countMax) => {
          const first = given;
          given = Math.min(count, given + countMax);
          return Array.from({ length: given - first }, (_, at) => ({
            key: currentKey(bytes(`k/${first + at}`)),
            value: tombstone,
          }));
        },
        close: async () => {},
      });
      const disk = { get: () => undefined, scan };
      const turn = async () => {};
      const layers = {
        buffers: [],
        disk,
        revision: 2,
        compactedRevision: 0,
        turn,
        step: turn,
        sizes: STEP_SIZES,
      };
      return measureWalks(layers, branchesOf(remove), bounds, undefined).then((keys) => keys === undefined);
    };
    expect(await passesTooMany(DELETED_KEYS_PASSED_MAX)).toBe(false);
    expect(await passesTooMany(DELETED_KEYS_PASSED_MAX + 1)).toBe(true);
  });

  it('is refused before it is proposed where it would pass over too many keys', async () => {
    const kv = await openKv(new MemoryDisk().directory(), 'state-1');
    const remove = { kind: 'deletePrefix', prefix: bytes('k/') } as const;
    for (let number = 0; number < PASSED_KEYS_MAX; number += 1) await perform(kv, put(`k/${number}`, ''));
    expect(await tooMany(kv, remove)).toBe(false);
    await perform(kv, put('k/x', ''));
    expect(await tooMany(kv, remove)).toBe(true);
  });
});

describe('the end of a lease in steps', () => {
  it('passes over nothing that an earlier step deleted', async () => {
    const counting = new CountingDisk();
    const kv = await openKv(counting.directory(), 'state-1');
    await perform(kv, { kind: 'leaseGrant', ttlMs: 1_000 });
    for (let number = 0; number <= DELETED_KEYS_MAX; number += 1) {
      const key = bytes(`k/${100_000 + number}`);
      await perform(kv, { kind: 'put', key, value: key, contentType: '', lease: 1 });
    }
    await kv.flush();
    const revoke: Command = { kind: 'leaseRevoke', lease: 1 };
    expect(await perform(kv, revoke)).toMatchObject({ deleted: DELETED_KEYS_MAX, remaining: true });
    counting.pairs = 0;
    expect(await perform(kv, revoke)).toMatchObject({ deleted: 1, remaining: false });
    expect(counting.pairs).toBe(1);
    expect((await kv.list(all())).items).toEqual([]);
  });
});
