import { randomBytes } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import type { Command } from '../../src/kv/types.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { withTemporaryDirectory } from '../storage/temporary.js';
import { deletePrefix, deletion, follower, perform } from './kit.js';
import { bytes, put } from './model.js';

const raise: Command = { kind: 'raiseVersion', version: 2 };
const KIB = 1024;
const historyBytes = 1024 * KIB;
const large = (key: string, size = 64 * KIB): Command => ({
  kind: 'put',
  key: bytes(key),
  value: randomBytes(size),
  contentType: '',
});

async function bytesIn(path: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(path)) {
    // LevelDB removes files while they are looked at.
    sum += await stat(join(path, name)).then(
      ({ size }) => size,
      () => 0,
    );
  }
  return sum;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

const pastOf = (kv: KvStateMachine) => kv.revision - kv.compactedRevision;

describe('history', () => {
  it('is bounded in bytes of what was superseded, alike on a member that got a snapshot', async () => {
    const kv = await openKv(new MemoryDisk().directory(), 'state-1', { historyBytes });
    await perform(kv, raise);
    for (let count = 0; count < 100; count += 1) await perform(kv, large('a'));
    // 16 such values fit, and it is noted after each.
    expect(pastOf(kv)).toBe(15);
    expect(() => kv.get(bytes('a'), kv.compactedRevision - 1)).toThrow(
      expect.objectContaining({ code: 'compacted' }),
    );
    expect(kv.get(bytes('a'), kv.compactedRevision)?.value).toHaveLength(64 * KIB);
    const request = { key: bytes('a'), isPrefix: false };
    expect(() => kv.watch({ ...request, after: { revision: 1, number: 0 } })).toThrow(
      expect.objectContaining({ code: 'compacted' }),
    );
    const other = await follower(new MemoryDisk(), kv);
    for (const member of [kv, other]) {
      for (let count = 0; count < 3; count += 1) await perform(member, put('b', 'small'));
    }
    expect(other.compactedRevision).toBe(kv.compactedRevision);
  });

  it('does not keep what a single revision superseded beyond the bound', async () => {
    const kv = await openKv(new MemoryDisk().directory(), 'state-1', { historyBytes });
    await perform(kv, raise);
    for (let count = 0; count < 40; count += 1) await perform(kv, large(`d/${count}`));
    expect(pastOf(kv)).toBe(40);
    await perform(kv, deletePrefix('d/'));
    expect(kv.compactedRevision).toBe(kv.revision);
  });

  it('is not bounded in bytes before all members count them', async () => {
    const kv = await openKv(new MemoryDisk().directory(), 'state-1', { historyBytes });
    for (let count = 0; count < 100; count += 1) await perform(kv, large('a'));
    expect(pastOf(kv)).toBe(100);
    // What was put before is counted as nothing, on all members alike.
    await perform(kv, raise, large('a'), large('a'));
    expect(pastOf(kv)).toBe(102);
  });

  it('gives its room back on the disk soon, although nothing more is written', async () => {
    await withTemporaryDirectory(async (path) => {
      const kv = await openKv(await LevelDirectory.at(path), 'state-1', { historyBytes });
      await perform(kv, raise);
      for (let round = 0; round < 8; round += 1) {
        for (let count = 0; count < 10; count += 1) await perform(kv, large('a', 512 * KIB));
        await kv.flush();
      }
      await perform(kv, deletion('a'));
      await kv.flush();
      // 40 MiB were written. What is left is the history of 1 MiB, what is not worth a compaction, and LevelDB's own log.
      await until(async () => (await bytesIn(join(path, 'state-1'))) < 12 * KIB * KIB);
      expect(kv.get(bytes('a'))).toBeUndefined();
      await kv.close();
    });
  });

  it('of very many changes is pruned to the end, although nothing more is written', async () => {
    const disk = new MemoryDisk();
    const kv = await openKv(disk.directory(), 'state-1', { historyRevisions: 1 });
    await perform(kv, raise);
    for (let count = 0; count < 9_000; count += 1) await perform(kv, put(`d/${count}`, 'x'));
    await kv.flush();
    await perform(kv, deletePrefix('d/'));
    await kv.flush();
    await perform(kv, put('e', 'y'), put('e', 'z'));
    await kv.flush();
    const records = async () => {
      const snapshot = await kv.takeSnapshot();
      let size = 0;
      for await (const chunk of snapshot.chunks()) size += chunk.length;
      await snapshot.close();
      return size;
    };
    await until(async () => (await records()) < 4 * KIB);
    await kv.close();
  });
});
