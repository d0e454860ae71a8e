import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, get, put } from './client.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { Load } from './load.js';

// One cluster for all of these tests, in their order: each leaves it whole, and what one wrote the next ones keep.
describe('a cluster of three', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  it('takes a write on any node, with the redirect and without', async () => {
    const leader = await cluster.leader();
    for (const node of cluster.nodes) {
      expect(await put(node.url, `redirected/${node.id}`, node.id)).toMatchObject({
        kind: 'done',
        created: true,
      });
      expect(await put(node.url, `served/${node.id}`, node.id, { query: 'redirect=never' })).toMatchObject({
        kind: 'done',
        created: true,
      });
      const answer = await call(
        node.url,
        '/v1/kv/redirected/seen?timeout=1s',
        {},
        {
          method: 'PUT',
          body: 'x',
          redirect: 'manual',
        },
      );
      if (node === leader) {
        expect(answer.status).toBeLessThan(300);
      } else {
        expect(answer.status).toBe(307);
        expect(answer.headers.get('location')).toBe(`${leader.url}/v1/kv/redirected/seen?timeout=1s`);
        expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('with curl, add -L') });
      }
    }
    for (const node of cluster.nodes) {
      for (const writer of cluster.nodes) {
        const expected = { kind: 'found', value: writer.id };
        expect(await get(node.url, `redirected/${writer.id}`)).toMatchObject(expected);
        expect(await get(node.url, `served/${writer.id}`, { query: 'redirect=never' })).toMatchObject(
          expected,
        );
      }
    }
  });

  it('loses no acknowledged write when the leader is killed under load, twice', async () => {
    const load = Load.start(cluster, { prefix: 'leader-killed/' });
    try {
      for (let round = 0; round < 2; round += 1) {
        await load.progress(200);
        const leader = await cluster.leader();
        await leader.kill();
        await load.progress(200);
        leader.start();
        await cluster.ready();
      }
    } finally {
      await load.stop();
    }
    await load.verify();
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  });

  it('loses no acknowledged write when all nodes are killed at once under load', async () => {
    const load = Load.start(cluster, { prefix: 'all-killed/' });
    try {
      await load.progress(200);
      await Promise.all(cluster.nodes.map((node) => node.kill()));
      for (const node of cluster.nodes) node.start();
      await load.progress(100);
      await cluster.ready();
    } finally {
      await load.stop();
    }
    await load.verify();
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  });

  it('hands leadership over when the leader is told to stop under load, and that exits with 0', async () => {
    const load = Load.start(cluster, { prefix: 'leader-stopped/' });
    let leader = await cluster.leader();
    try {
      await load.progress(100);
      leader = await cluster.leader();
      const stopped = leader.stop();
      await load.progress(100);
      expect(await stopped).toEqual({ code: 0, signal: null });
      expect(leader.run?.errors).toBe('');
      expect((await cluster.leader()).id).not.toBe(leader.id);
      // Nobody had to notice by a timeout that it was gone: it told its successor to begin.
      expect(leader.log).toContain('Handing leadership over');
      expect((await cluster.leader()).log).toContain(`Leader ${leader.id} hands leadership over`);
    } finally {
      await load.stop();
    }
    // A write that was accepted was finished, so none ended in doubt but those that were on their way to a closed port.
    leader.start();
    await cluster.ready();
    await load.verify();
  });

  it('keeps its data over a restart of the whole cluster', async () => {
    const before = (await (await cluster.leader()).status())?.revision ?? 0;
    const exits = await Promise.all(cluster.nodes.map((node) => node.stop()));
    expect(exits).toEqual(cluster.nodes.map(() => ({ code: 0, signal: null })));
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
    for (const node of cluster.nodes) {
      expect(await get(node.url, `served/${node.id}`, { query: 'redirect=never' })).toMatchObject({
        value: node.id,
      });
    }
    expect(await cluster.put('after', 'the restart')).toBe(before + 1);
  });
});

describe('a cluster of one', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(1);
  });
  afterAll(() => cluster?.remove());

  it('leads itself, and a kill under load loses nothing that it acknowledged', async () => {
    const node = cluster.node('n1');
    const load = Load.start(cluster, { prefix: 'single/' });
    try {
      await load.progress(200);
      await node.kill();
      node.start();
      await load.progress(50);
    } finally {
      await load.stop();
    }
    await load.verify();
    expect(await node.status()).toMatchObject({ role: 'leader', leader: 'n1' });
    expect(await node.stop()).toEqual({ code: 0, signal: null });
  });
});
