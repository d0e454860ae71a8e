import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RaftkvClient } from '../../src/client/index.js';
import type { NodeStatus } from '../../src/http/port.js';
import { get, put } from './client.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { Load } from './load.js';
import { until } from './wait.js';

const CLIENTS = 8;
const ADDS_PER_CLIENT = 25;
const DELETED_KEYS = 9_600;
const KEYS_PER_TXN = 128;
/** As many as a branch may have. */
const GETS = 128;

describe('requests that once stopped a cluster, or were repeated very often', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
    await until('cluster version 2 on all nodes', async () => {
      const statuses = await Promise.all(cluster.nodes.map((node) => node.status()));
      return statuses.every((status) => ((status as NodeStatus | undefined)?.clusterVersion ?? 0) >= 2)
        ? true
        : undefined;
    });
  });
  afterAll(() => cluster?.remove());

  function clientOf(number: number): RaftkvClient {
    const { nodes } = cluster;
    const endpoints = nodes.map((_, at) => nodes[(at + number) % nodes.length]?.url ?? '');
    return new RaftkvClient({ endpoints, timeoutMs: 60_000 });
  }

  it('lets eight clients count on one key, and no add meets another', async () => {
    const values: number[] = [];
    const count = async (number: number) => {
      const client = clientOf(number);
      for (let adds = 0; adds < ADDS_PER_CLIENT; adds += 1) {
        const isInTxn = adds % 5 === 4;
        if (!isInTxn) {
          values.push((await client.add('counter')).value);
          continue;
        }
        const { results } = await client.txn({ success: [{ add: { key: 'counter', delta: 1 } }] });
        const [result] = results;
        if (result !== undefined && 'add' in result) values.push(result.add.value);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, number) => count(number)));
    // Every call was answered at its one asking with a sum of its own: none lost to another, and none was made twice.
    const total = CLIENTS * ADDS_PER_CLIENT;
    expect(values.sort((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, at) => at + 1));
    for (const node of cluster.nodes)
      expect(await get(node.url, 'counter', { query: 'redirect=never' })).toMatchObject({
        value: `${total}`,
      });
  });

  it('writes and reads on, on every node, beside transactions that get a prefix of deleted keys many times', async () => {
    const client = clientOf(0);
    const names = Array.from({ length: DELETED_KEYS }, (_, number) => `gone/${number}`);
    const writers = Array.from({ length: 4 }, async () => {
      while (names.length > 0) {
        const success = names.splice(-KEYS_PER_TXN).map((key) => ({ put: { key, value: '' } }));
        await client.txn({ success });
      }
    });
    await Promise.all(writers);
    await client.put('gone', 'no key of the prefix');
    await client.deletePrefix('gone/');

    const leader = await cluster.leader();
    const gets = Array.from({ length: GETS }, () => ({ get: { prefix: 'gone/' } }));
    let isStopping = false;
    let walks = 0;
    const walker = (async () => {
      // One that changes something goes through the log; the other one is a read.
      const bodies = [[{ put: { key: 'walked', value: '1' } }, ...gets.slice(1)], gets];
      while (!isStopping) {
        for (const success of bodies) {
          const answer = await fetch(`${leader.url}/v1/txn?timeout=2s`, {
            method: 'POST',
            body: JSON.stringify({ success }),
          });
          // Done, or ended by its timeout: on a busy machine, either.
          expect([200, 503, 504], await answer.clone().text()).toContain(answer.status);
          await answer.arrayBuffer();
        }
        walks += 1;
      }
    })();
    const load = Load.start(cluster, { prefix: 'written/', writers: 2 });
    try {
      for (let round = 0; round < 2; round += 1) {
        const walked = walks;
        await load.progress(5);
        for (const node of cluster.nodes) {
          const key = `read/${round}/${node.id}`;
          const options = { query: 'redirect=never' };
          await until(`a write through ${node.id}`, async () =>
            (await put(node.url, key, 'x', options)).kind === 'done' ? true : undefined,
          );
          // It has to confirm with the leader that it has the newest state.
          const read = await until(`a linearizable read of ${node.id}`, async () => {
            const found = await get(node.url, key, options);
            return found.kind === 'unavailable' ? undefined : found;
          });
          expect(read).toMatchObject({ value: 'x' });
        }
        await until('another walk has ended', () => (walks > walked ? true : undefined));
      }
    } finally {
      isStopping = true;
      await Promise.all([walker, load.stop()]);
    }
    await load.verify();
  });
});
