import { describe, expect, it } from 'vitest';
import { INDEX_BOUNDS } from '../../src/kv/answer-index.js';
import { AnswerBatch } from '../../src/kv/answer-records.js';
import { Answers } from '../../src/kv/idempotency.js';
import { decodeMeta, emptyMeta, metaKey } from '../../src/kv/meta-codec.js';
import type { KvStateMachine } from '../../src/kv/state-machine.js';
import { type Command, type CommandResult, IDEMPOTENCY_MS } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import {
  deletePrefix,
  deletion,
  follower,
  inFormat,
  open,
  openFiling,
  perform,
  performAt,
  reopen,
} from './kit.js';
import { bytes, commandEntry, plainBytes, put, text } from './model.js';

const under = (key: string, command: Command, request = 0): Command => ({
  ...command,
  idempotency: { key, fingerprint: new Uint8Array(16).fill(request) },
});
const get = { kind: 'getPrefix', prefix: bytes('a') } as const;
const set = { kind: 'put', key: bytes('a2'), value: bytes('\x00\xff'), contentType: 'text/plain' } as const;

/** Everything that is on disk, key by key. Ends whoever uses it. */
async function keysOf(disk: MemoryDisk): Promise<string[]> {
  disk.crash();
  const store = await disk.directory().open('state-1');
  const pairs = await store.scan({}).next(100_000);
  disk.crash();
  return pairs.map(({ key }) => text(key));
}

describe('a command under an idempotency key', () => {
  const commands: [string, Command][] = [
    ['put', put('a', '1')],
    ['condition', put('a', '2', { ifAbsent: true })],
    ['lost condition', { ...deletion('nothing'), ifRevision: 9 } as Command],
    ['nothing', deletion('nothing')],
    ['txn', { kind: 'txn', compare: [], success: [set, get], failure: [] }],
    ['grant', { kind: 'leaseGrant', ttlMs: 5 }],
    ['ttl', { ...put('b', ''), ttlMs: 7 } as Command],
    ['keepalive', { kind: 'leaseKeepAlive', lease: 1 }],
    ['no lease', { ...put('b', ''), lease: 9 } as Command],
    ['revoke', { kind: 'leaseRevoke', lease: 1 }],
    ['prefix', deletePrefix('a')],
    ['delete', deletion('b')],
  ];

  it.each([
    ['in the journal', open],
    ['filed', openFiling],
  ])(
    'row 27: is done once, and a repeat gets the same answer, after a restart and on other members, too: %s',
    async (_, openOne) => {
      const disk = new MemoryDisk();
      const kv = await openOne(disk);
      const results: (CommandResult | undefined)[] = [];
      for (const [key, command] of commands) results.push(await performAt(kv, 5, under(key, command)));
      expect(results.map((result) => result?.kind)).toEqual([
        'put',
        'preconditionFailed',
        'preconditionFailed',
        'delete',
        'txn',
        'lease',
        'put',
        'lease',
        'leaseNotFound',
        'leaseRevoked',
        'delete',
        'delete',
      ]);
      const repeatAll = async (each: KvStateMachine) => {
        const { digest, revision } = each;
        // In another order, since each stands for itself.
        for (const [at, [key, command]] of [...commands.entries()].reverse()) {
          const entry = commandEntry(each.appliedIndex + 1, under(key, command), 6);
          // There is nothing to look for ahead.
          expect(each.prepare(entry)).toBeUndefined();
          expect(plainBytes(each.apply(entry))).toEqual(plainBytes(results[at]));
        }
        expect([each.digest, each.revision]).toEqual([digest, revision]);
        return digest;
      };
      const digest = await repeatAll(kv);
      await kv.flush();
      expect(await repeatAll(kv)).toBe(digest);
      await kv.flush();
      expect((await keysOf(disk)).some((key) => key.startsWith('i'))).toBe(openOne === openFiling);
      const again = await openOne(disk);
      expect(await repeatAll(again)).toBe(digest);
      expect(await repeatAll(await follower(new MemoryDisk(), again))).toBe(digest);
      expect(await repeatAll(await reopen(disk, again))).toBe(digest);
    },
  );

  it('is refused when another request was done under its key', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, under('k', put('a', '1')));
    const mismatch = { kind: 'idempotencyMismatch', revision: 1 };
    expect(await perform(kv, under('k', put('b', '1'), 1))).toEqual(mismatch);
    expect(await perform(kv, under('k', deletePrefix('a'), 2))).toEqual(mismatch);
    // That it was refused is nothing to remember.
    expect(await perform(kv, under('k', put('a', '1')))).toEqual({ kind: 'put', revision: 1, created: true });
    expect(kv.revision).toBe(1);
  });

  it('is done again 24 hours of log time later, equally whether what it left is still there or not', async () => {
    const digests: string[] = [];
    const cases = [[], [1], [1, 2], [2], [1, 2, 3, 4, 5, 6]].flatMap((flushes) =>
      [open, openFiling].map((openOne) => ({ flushes, openOne })),
    );
    for (const { flushes, openOne } of cases) {
      const disk = new MemoryDisk();
      const kv = await openOne(disk);
      const seen: unknown[] = [];
      const steps: [number, Command][] = [
        [100, under('k', put('a', ''))],
        [100 + IDEMPOTENCY_MS, under('k', put('a', ''))],
        [100, under('k', put('a', ''))],
        [101 + IDEMPOTENCY_MS, under('other', put('b', ''))],
        [101 + IDEMPOTENCY_MS, under('k', put('a', ''))],
        [100 + 2 * IDEMPOTENCY_MS, under('k', put('a', ''))],
      ];
      for (const [at, [logTimeMs, command]] of steps.entries()) {
        seen.push(await performAt(kv, logTimeMs, command));
        if (flushes.includes(at + 1)) await kv.flush();
      }
      expect(seen).toEqual([
        { kind: 'put', revision: 1, created: true },
        { kind: 'put', revision: 1, created: true },
        { kind: 'put', revision: 1, created: true },
        { kind: 'put', revision: 2, created: true },
        { kind: 'put', revision: 3, created: false },
        { kind: 'put', revision: 3, created: false },
      ]);
      await kv.flush();
      disk.crash();
      const again = await openOne(disk);
      expect(await performAt(again, 0, under('k', put('a', '')))).toEqual(seen[5]);
      digests.push(again.digest);
    }
    expect(new Set(digests).size).toBe(1);
  });

  it.each([
    ['in the journal', open, ['a\f', 'm']],
    ['filed', openFiling, ['ik3', 'j\f', 'm']],
  ])('leaves nothing behind in the end: %s', async (_, openOne, last) => {
    const disk = new MemoryDisk();
    const kv = await openOne(disk);
    for (let count = 0; count < 10; count += 1) {
      await performAt(kv, count, under(`k${count}`, { kind: 'tick' }));
      if (count % 3 === 0) await kv.flush();
    }
    // Used again before it was forgotten, and then a second time: only the last one stays.
    await performAt(kv, IDEMPOTENCY_MS + 20, under('k3', { kind: 'tick' }));
    await kv.flush();
    await performAt(kv, 2 * IDEMPOTENCY_MS + 21, under('k3', { kind: 'tick' }));
    await kv.flush();
    // What a flush brings, the next one may file.
    await performAt(kv, 2 * IDEMPOTENCY_MS + 21, { kind: 'tick' });
    await kv.flush();
    expect((await keysOf(disk)).map((key) => key.replace(/\0/g, ''))).toEqual(last);
    const again = await openOne(disk);
    await performAt(again, 3 * IDEMPOTENCY_MS + 22, { kind: 'tick' });
    await again.flush();
    expect(await keysOf(disk)).toEqual(['m']);
  });

  it.each([
    ['in the journal', open],
    ['filed', openFiling],
  ])('leaves in parts, a bounded number of them a flush: %s', async (_, openOne) => {
    const sizes: number[] = [];
    const disk = new MemoryDisk((write) => {
      sizes.push(write.operations.length);
      write.complete();
    });
    const kv = await openOne(disk);
    for (let count = 0; count < 8_000; count += 1) {
      kv.apply(commandEntry(count + 1, under(`k${count}`, { kind: 'tick' }), 1));
    }
    await kv.flush();
    // Some hundred in a record: that is what makes them cheap.
    expect(sizes).toEqual([expect.toSatisfy((size: number) => size < 160)]);
    sizes.length = 0;
    const flushAt = async (logTimeMs: number) => {
      await performAt(kv, logTimeMs, { kind: 'tick' });
      await kv.flush();
    };
    for (let count = 0; count < 12; count += 1) {
      await flushAt(1);
      // On its way from one place to the other, or not, each is found.
      for (let at = count * 100; at < 8_000; at += 1100) {
        const { revision } = kv;
        const repeat = under(`k${at}`, put('a', ''));
        expect(await performAt(kv, 1, repeat)).toEqual({ kind: 'ticked', revision });
      }
    }
    expect(sizes.at(-1)).toBe(1);
    for (let count = 0; count < 12; count += 1) await flushAt(IDEMPOTENCY_MS + 2);
    expect(Math.max(...sizes)).toBeLessThan(1_500);
    expect(sizes.at(-1)).toBe(1);
    expect(await keysOf(disk)).toEqual(['m']);
  });

  it('stays when an older one under its key is forgotten, which was filed together with a younger one', async () => {
    const kv = await openFiling(new MemoryDisk());
    const flushTwice = async (logTimeMs: number) => {
      await kv.flush();
      await performAt(kv, logTimeMs, { kind: 'tick' });
      await kv.flush();
    };
    await performAt(kv, 0, under('k', put('a', '')));
    await performAt(kv, IDEMPOTENCY_MS / 2, under('l', put('b', '')));
    await flushTwice(IDEMPOTENCY_MS / 2);
    const second = { kind: 'put', revision: 3, created: false };
    expect(await performAt(kv, IDEMPOTENCY_MS + 1, under('k', put('a', '')))).toEqual(second);
    await flushTwice(IDEMPOTENCY_MS + 1);
    await flushTwice(1.5 * IDEMPOTENCY_MS + 1);
    expect(await performAt(kv, 1.5 * IDEMPOTENCY_MS + 2, under('k', put('a', '')))).toEqual(second);
  });

  it('is found wherever it is while a flush files or forgets it', async () => {
    const disk = new MemoryDisk(() => {});
    const kv = await openFiling(disk);
    const finishWrite = () => {
      for (const write of disk.pendingWrites) write.complete();
    };
    const steps = async () => {
      for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    };
    await performAt(kv, 1, under('k', put('a', '')));
    const first = { kind: 'put', revision: 1, created: true };
    const repeat = (logTimeMs: number) => performAt(kv, logTimeMs, under('k', put('a', '')));
    // Brought by the first flush, filed by the second, and too old at the third.
    for (const [logTimeMs, expected] of [
      [2, first],
      [IDEMPOTENCY_MS + 1, first],
      [IDEMPOTENCY_MS + 2, { kind: 'put', revision: 2, created: false }],
    ] as const) {
      expect(await repeat(logTimeMs)).toEqual(expected);
      const flushed = kv.flush();
      expect(await repeat(logTimeMs)).toEqual(expected);
      await steps();
      expect(await repeat(logTimeMs)).toEqual(expected);
      finishWrite();
      // It is on disk, and the state has not heard of it.
      const entry = commandEntry(kv.appliedIndex + 1, under('k', put('a', '')), logTimeMs);
      kv.prepare(entry);
      expect(kv.apply(entry)).toEqual(expected);
      await flushed;
      expect(await repeat(logTimeMs)).toEqual(expected);
    }
  });

  it('is still found in a state of format 2, in which every answer was filed', async () => {
    const disk = new MemoryDisk();
    const kv = await openFiling(disk);
    await performAt(kv, 1, under('k', put('a', '')));
    await kv.flush();
    await performAt(kv, 2, { kind: 'tick' });
    await kv.flush();
    disk.crash();
    const store = await disk.directory().open('state-1');
    const meta = decodeMeta(store.get(metaKey) ?? bytes(''));
    disk.crash();
    disk.tamper('state-1', [{ kind: 'put', key: metaKey, value: inFormat(2, meta) }]);
    const upgraded = await open(disk);
    const first = { kind: 'put', revision: 1, created: true };
    expect(await performAt(upgraded, 3, under('k', put('a', '')))).toEqual(first);
    await performAt(upgraded, 4, under('l', put('b', '')));
    const again = await reopen(disk, upgraded);
    expect(await performAt(again, 5, under('k', put('a', '')))).toEqual(first);
  });

  it.each([
    ['in the journal', open],
    ['filed', openFiling],
  ])('is still found in a state of format 3, whose journal looked otherwise: %s', async (_, openOne) => {
    const disk = new MemoryDisk();
    await disk.directory().open('state-1');
    disk.crash();
    // As that version wrote it.
    const written = {
      '61000000000000000200000000':
        '7a49107600000000000100000000000500016b00000030aae6f902000000000001000000000005070707070707070707' +
        '070707070707070a0370757411000000000000f03f18010000000000020000000000060002c3a900000046e72be75000' +
        '0000000002000000000006080808080808080808080808080808080a12707265636f6e646974696f6e4661696c656411' +
        '000000000000f03f29000000000000f03f',
      '6361': '1ba512b60000000000000100000000000100000000000100000000000101000000000001',
      '6d':
        '03f7daec29000000000002000000000001000000000001000000000000000000000000863a3b25000000000006000000' +
        '000000000000000000000000000002000000000000000000000000010000000000050000000000000000000000007b22' +
        '76657273696f6e223a312c226d656d62657273223a5b5d2c22766f74657273223a5b5d2c226f7574676f696e67566f74' +
        '657273223a5b5d2c226c6561726e657273223a5b5d7d',
      '766100010000000000000001': '68ee828200000000000001000000000001000000000000000000000000000031',
      '78000000000000000100000000': 'e1599f2400000000000101000000000000000161',
    };
    disk.tamper(
      'state-1',
      Object.entries(written).map(([key, value]) => ({
        kind: 'put',
        key: Buffer.from(key, 'hex'),
        value: Buffer.from(value, 'hex'),
      })),
    );
    const repeatBoth = async (kv: KvStateMachine) => {
      expect(await performAt(kv, 7, under('k', put('a', '1'), 7))).toEqual({
        kind: 'put',
        revision: 1,
        created: true,
      });
      expect(await performAt(kv, 7, under('é', put('a', '2'), 8))).toEqual({
        kind: 'preconditionFailed',
        revision: 1,
        modRevision: 1,
      });
      expect(await performAt(kv, 7, under('é', put('a', '2'), 9))).toMatchObject({
        kind: 'idempotencyMismatch',
      });
      await kv.flush();
    };
    const upgraded = await openOne(disk);
    await repeatBoth(upgraded);
    await performAt(upgraded, 8, under('l', put('b', '')));
    await upgraded.flush();
    expect((await keysOf(disk)).includes('ik')).toBe(openOne === openFiling);
    await repeatBoth(await openOne(disk));
  });

  it('is part of the digest', async () => {
    const digests = new Set<string>();
    for (const command of [
      put('a', ''),
      under('k', put('a', '')),
      under('l', put('a', '')),
      under('k', put('a', ''), 1),
    ]) {
      const kv = await open(new MemoryDisk());
      await perform(kv, command);
      digests.add(kv.digest);
    }
    expect(digests.size).toBe(4);
  });

  it.each([
    ['kept', open, 'a', 0],
    ['kept', open, 'a', 1],
    ['kept', open, 'a', 3],
    ['filed', openFiling, 'j', 0],
    ['filed', openFiling, 'j', 1],
    ['filed', openFiling, 'j', 2],
    ['kept', openFiling, 'a', 0],
  ])('row 29: is missed when a flush that %s it is lost', async (_, openOne, tag, which) => {
    const disk = new MemoryDisk();
    const kv = await openOne(disk);
    for (const key of ['k', 'l', 'm', 'n']) {
      await perform(kv, under(key, { kind: 'tick' }));
      await kv.flush();
    }
    const lost = (await keysOf(disk)).filter((key) => key.startsWith(tag))[which] ?? '';
    expect(lost).not.toBe('');
    disk.tamper('state-1', [{ kind: 'delete', key: bytes(lost) }]);
    await expect(open(disk)).rejects.toMatchObject({ code: 'storage_damaged' });
  });

  it('stops a state that misses its record later, rather than being done again', async () => {
    const batch = new AnswerBatch(0);
    const meta = { ...emptyMeta };
    const store = await new MemoryDisk().directory().open('empty');
    const answers = new Answers(meta, store, () => batch, INDEX_BOUNDS);
    const idempotency = { key: 'k', fingerprint: new Uint8Array(16) };
    answers.keep(idempotency, { kind: 'ticked', revision: 0 }, 0);
    answers.flushed(batch, { operations: [], prunedAnswer: 0, filedAnswer: 0 });
    expect(() => answers.find(idempotency, 0)).toThrow(expect.objectContaining({ code: 'storage_damaged' }));
    expect(answers.find({ ...idempotency, key: 'other' }, 0).result).toBeUndefined();
  });

  it('shows in the digest, also where it differs in the same way as the change that it answers', async () => {
    const digests = new Set<string>();
    for (const byte of [0, 0x5a, 0xff]) {
      const kv = await open(new MemoryDisk());
      // As far from the end of the changes as the fingerprint is from the end of the answers.
      const value = Buffer.alloc(29);
      value.fill(byte, 0, 16);
      await perform(kv, under('k', { kind: 'put', key: bytes('a'), value, contentType: '' }, byte));
      digests.add(kv.digest);
    }
    expect(digests.size).toBe(3);
  });

  it('is in the digest alike, however often that is asked for and however many a flush brings', async () => {
    const digests = [1, 7, 40, 1000].map(async (every) => {
      const kv = await open(new MemoryDisk());
      for (let count = 1; count <= 400; count += 1) {
        await performAt(
          kv,
          count,
          under(`request ${count}`, count % 3 === 0 ? put('a', '') : { kind: 'tick' }),
        );
        if (count % every === 0) expect(kv.digest).not.toBe('00000000');
        if (count % (3 * every) === 0) await kv.flush();
      }
      return kv.digest;
    });
    expect(new Set(await Promise.all(digests)).size).toBe(1);
  });
});
