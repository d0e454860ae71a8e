import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type KvStateMachine, openKv } from '../../src/kv/state-machine.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import type { Scan, StoreDirectory } from '../../src/storage/ordered-store.js';
import { deletePrefix, perform } from '../kv/kit.js';
import { put } from '../kv/model.js';
import { observedStores } from '../kv/observed-stores.js';
import { listen, RawConnection, serve } from './kit.js';

/** Listings that pass over many deleted keys, which is where they take long and find nothing. */

const COUNT = 6_000;

/** Told of every step of a scan, and how many pairs the steps gave together. */
class Steps {
  pairs = 0;
  /** Waited for before each step. */
  gate: () => Promise<unknown> = () => Promise.resolve();

  over(directory: StoreDirectory): StoreDirectory {
    const observed = (scan: Scan): Scan => ({
      next: async (countMax) => {
        await this.gate();
        const found = await scan.next(countMax);
        this.pairs += found.length;
        return found;
      },
      close: () => scan.close(),
    });
    return observedStores(directory, { scan: observed });
  }
}

/** Very many keys that were deleted, and one that came later, at the newest revision. */
async function deletedKeys(kv: KvStateMachine, clusterVersion: number): Promise<void> {
  await perform(kv, { kind: 'raiseVersion', version: clusterVersion });
  for (let number = 0; number < COUNT; number += 1) await perform(kv, put(`d/${number}`, 'x'));
  await perform(kv, deletePrefix('d/'), put('e', 'y'));
  await kv.flush();
}

/** In cluster version 1 tombstones stand among the keys; later only a listing of the past meets them. */
const listings = [
  ['of the past', 2, `/v1/kv?prefix=d/&revision=${COUNT + 1}`],
  ['in cluster version 1', 1, '/v1/kv?prefix=d/'],
] as const;

const directories: string[] = [];
afterEach(async () => {
  for (const path of directories.splice(0)) await rm(path, { recursive: true });
});

describe.each(listings)('a listing over deleted keys, %s', (_, clusterVersion, url) => {
  async function served() {
    const steps = new Steps();
    const kv = await openKv(steps.over(new MemoryDisk().directory()), 'state-1');
    await deletedKeys(kv, clusterVersion);
    const { app, node } = serve();
    const signals: AbortSignal[] = [];
    const ends: Promise<unknown>[] = [];
    node.list = (request) => {
      if (request.signal !== undefined) signals.push(request.signal);
      const listed = kv.list(request);
      ends.push(
        listed.then(
          () => 'done',
          () => 'ended',
        ),
      );
      return listed;
    };
    steps.pairs = 0;
    return { app, steps, signals, ends };
  }

  it('passes over all of them where it has the time', async () => {
    const { app, steps } = await served();
    expect((await app.inject(url)).json()).toMatchObject({ items: [] });
    expect(steps.pairs).toBe(COUNT);
  });

  it('ends when its client has left', async () => {
    const { app, steps, signals, ends } = await served();
    const connection = new RawConnection(await listen(app));
    steps.gate = () => {
      connection.socket.destroy();
      const [signal] = signals;
      return new Promise<void>((resolve) => {
        if (signal === undefined || signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve());
      });
    };
    connection.send(`GET ${url} HTTP/1.1\r\nHost: h\r\n\r\n`);
    while (ends.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(await ends[0]).toBe('ended');
    expect(steps.pairs).toBeLessThan(COUNT / 4);
    await app.close();
  });

  it('ends when its time is up', async () => {
    const { app, steps, signals, ends } = await served();
    steps.gate = async () => {
      while (signals[0]?.aborted === false) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    const late = await app.inject(`${url}&timeout=20ms`);
    expect([late.statusCode, late.json().code]).toEqual([503, 'unavailable']);
    expect(await ends[0]).toBe('ended');
    expect(steps.pairs).toBeLessThan(COUNT / 4);
  });

  it('lets other work go on meanwhile', async () => {
    const path = await mkdtemp(join(tmpdir(), 'raftkv-listing-'));
    directories.push(path);
    const kv = await openKv(await LevelDirectory.at(path), 'state-1');
    await deletedKeys(kv, clusterVersion);
    let isListed = false;
    let turns = 0;
    const count = (): void => {
      turns += 1;
      if (!isListed) setImmediate(count);
    };
    setImmediate(count);
    const revision = clusterVersion === 1 ? undefined : COUNT + 1;
    const prefix = Buffer.from('d/');
    await kv.list({ prefix, after: undefined, limit: 9, keysOnly: true, revision });
    isListed = true;
    // A turn for each 128 keys, about.
    expect(turns).toBeGreaterThan(COUNT / 256);
    await kv.close();
  });
});
