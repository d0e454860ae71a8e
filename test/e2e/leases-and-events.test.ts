import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RaftkvClient, RaftkvClientError } from '../../src/client/index.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { until } from './wait.js';

const KILLS = 3;
const WRITERS = 4;
const TTL_SECONDS = 10;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// One cluster for all of these tests, in their order; each leaves it whole.
describe('what clients build on, while leaders are killed', () => {
  let cluster: Cluster;
  let client: RaftkvClient;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
    client = new RaftkvClient({ endpoints: cluster.nodes.map(({ url }) => url), timeoutMs: 20_000 });
  });
  afterAll(() => cluster?.remove());

  async function killLeaders(betweenMs: number): Promise<void> {
    for (let kill = 0; kill < KILLS; kill += 1) {
      await pause(betweenMs);
      const leader = await cluster.leader();
      await leader.kill();
      await pause(betweenMs / 2);
      leader.start();
      await cluster.ready();
    }
  }

  it('makes every change once, and tells every watch of it once and in order (rows 27 and 28)', async () => {
    const seen = cluster.nodes.map(async () => {
      const events: { readonly revision: number; readonly key: string; readonly value: string }[] = [];
      const { revision } = await client.put('events/begin', '');
      for await (const event of client.watch({ prefix: 'events/', fromRevision: revision + 1 })) {
        if (event.key === 'events/end') break;
        const value = event.type === 'put' ? event.item.text : '';
        events.push({ revision: event.revision, key: event.key, value });
      }
      return { from: revision, events };
    });
    let writing = true;
    const counts = Array.from({ length: WRITERS }, async (_, writer) => {
      const key = `events/counter-${writer}`;
      let count = 0;
      while (writing) {
        count += 1;
        // Each of them reads nothing before: only that every change is made once makes the count right.
        await client.put(key, String(count));
      }
      return { key, count };
    });
    await killLeaders(1_500);
    writing = false;
    const expected = await Promise.all(counts);
    for (const { key, count } of expected) {
      const [item] = (await client.list({ prefix: key })).items;
      expect(count).toBeGreaterThan(10);
      expect([item?.text, item?.version]).toEqual([String(count), count]);
    }
    await client.put('events/end', '');
    for (const { from, events } of await Promise.all(seen)) {
      const revisions = events.map((event) => event.revision);
      expect(revisions).toEqual([...new Set(revisions)].sort((one, other) => one - other));
      expect(revisions[0] ?? from + 1).toBeGreaterThan(from);
      for (const { key, count } of expected) {
        const values = events.filter((event) => event.key === key).map(({ value }) => Number(value));
        expect(values.at(-1)).toBe(count);
        // From wherever the watch began, without a gap.
        const first = values[0] ?? 0;
        expect(values).toEqual(Array.from({ length: count - first + 1 }, (_, at) => first + at));
      }
    }
  });

  it('keeps the remaining time of a lease when the leader is killed, and ends it then (row 20)', async () => {
    const beganAt = performance.now();
    const { lease } = await client.grantLease({ ttlSeconds: TTL_SECONDS });
    await client.put('leased', 'x', { lease });
    await pause((TTL_SECONDS * 1000) / 2);
    await (await cluster.leader()).kill();
    // Asked of the new leader: a lease that began anew with it would have nearly its whole time left. Log time may lag by a
    // second, because it is written down that often while there are leases, and stands still during the election.
    const { remainingSeconds } = await client.lease(lease);
    expect(remainingSeconds).toBeLessThan(TTL_SECONDS * 0.75);
    await until('the key of the lease gone', async () =>
      (await client.get('leased')) === undefined ? true : undefined,
    );
    expect((performance.now() - beganAt) / 1000).toBeGreaterThanOrEqual(TTL_SECONDS);
    for (const node of cluster.nodes) if (!node.isUp) node.start();
    await cluster.ready();
  });

  it('gives a lock to one at a time, with greater tokens, whoever leads (row 21)', async () => {
    let holder: number | undefined;
    let running = true;
    const tokens: number[] = [];
    const workers = Array.from({ length: 3 }, async (_, worker) => {
      while (running) {
        const guard = await client
          .lockGuard('e2e/lock', { ttlSeconds: 10, waitSeconds: 5 })
          .catch((error: unknown) => {
            if (error instanceof RaftkvClientError && error.code === 'lock_held') return undefined;
            throw error;
          });
        if (guard === undefined) continue;
        expect(guard.signal.aborted).toBe(false);
        expect(holder).toBeUndefined();
        holder = worker;
        tokens.push(guard.token);
        await pause(20);
        holder = undefined;
        await guard.release();
      }
    });
    await killLeaders(1_000);
    running = false;
    await Promise.all(workers);
    expect(tokens.length).toBeGreaterThan(10);
    expect(tokens).toEqual([...new Set(tokens)].sort((one, other) => one - other));
  });
});
