import { describe, expect, it } from 'vitest';
import type { KvStateMachine } from '../../src/kv/state-machine.js';
import { type Command, type CommandResult, IDEMPOTENCY_MS } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { deletePrefix, deletion, follower, open, perform, performAt, reopen } from './kit.js';
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

  it('row 27: is done once, and a repeat gets the same answer, after a restart and on other members, too', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
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
    expect(await repeatAll(await follower(new MemoryDisk(), kv))).toBe(digest);
    expect(await repeatAll(await reopen(disk, kv))).toBe(digest);
  });

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
    for (const flushes of [[], [1], [1, 2], [2], [1, 2, 3, 4, 5, 6]]) {
      const disk = new MemoryDisk();
      const kv = await open(disk);
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
      const again = await reopen(disk, kv);
      expect(await performAt(again, 0, under('k', put('a', '')))).toEqual(seen[5]);
      digests.push(again.digest);
    }
    expect(new Set(digests).size).toBe(1);
  });

  it('leaves nothing behind in the end', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    for (let count = 0; count < 10; count += 1) {
      await performAt(kv, count, under(`k${count}`, { kind: 'tick' }));
      if (count % 3 === 0) await kv.flush();
    }
    // Used again before it was forgotten, and then a second time: only the last one stays.
    await performAt(kv, IDEMPOTENCY_MS + 20, under('k3', { kind: 'tick' }));
    await kv.flush();
    await performAt(kv, 2 * IDEMPOTENCY_MS + 21, under('k3', { kind: 'tick' }));
    await kv.flush();
    await kv.flush();
    expect((await keysOf(disk)).map((key) => key.replace(/\0/g, ''))).toEqual(['ik3', 'j\f', 'm']);
    const again = await open(disk);
    await performAt(again, 3 * IDEMPOTENCY_MS + 22, { kind: 'tick' });
    await again.flush();
    expect(await keysOf(disk)).toEqual(['m']);
  });

  it('is forgotten in parts, a bounded number of them a flush', async () => {
    const sizes: number[] = [];
    const disk = new MemoryDisk((write) => {
      sizes.push(write.operations.length);
      write.complete();
    });
    const kv = await open(disk);
    for (let count = 0; count < 20_000; count += 1) {
      kv.apply(commandEntry(count + 1, under(`k${count}`, { kind: 'tick' }), 1));
    }
    await kv.flush();
    sizes.length = 0;
    for (let count = 0; count < 30; count += 1) {
      await performAt(kv, IDEMPOTENCY_MS + 2, { kind: 'tick' });
      await kv.flush();
    }
    expect(Math.max(...sizes)).toBeLessThan(8_000);
    expect(sizes.at(-1)).toBe(1);
    expect(await keysOf(disk)).toEqual(['m']);
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

  it('row 29: is missed when a flush that kept it is lost', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    for (const key of ['k', 'l', 'm']) {
      await perform(kv, under(key, { kind: 'tick' }));
      await kv.flush();
    }
    const lost = (await keysOf(disk)).filter((key) => key.startsWith('j'))[1] ?? '';
    disk.tamper('state-1', [{ kind: 'delete', key: bytes(lost) }]);
    await expect(open(disk)).rejects.toMatchObject({ code: 'storage_damaged' });
  });
});
