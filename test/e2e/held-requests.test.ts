import { get } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { put } from './client.js';
import { Cluster, showLogsOfFailures } from './cluster.js';

let cluster: Cluster;
showLogsOfFailures(() => cluster);
beforeAll(async () => {
  cluster = await Cluster.started(3);
});
afterAll(() => cluster?.remove());

/** What comes of asking for a watch as a browser does: the status, or why there is none. */
function watchOnce(url: string): Promise<string> {
  return new Promise((resolve) => {
    const headers = { accept: 'text/event-stream' };
    const request = get(`${url}/v1/watch?prefix=`, { headers, agent: false }, (response) => {
      response.resume();
      response.on('close', () => resolve(String(response.statusCode)));
    });
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
}

it('a browser that watches a node while it restarts never sees a status that ends its watch for good', async () => {
  const follower = await cluster.follower();
  const seen = new Set<string>();
  let isOver = false;
  const browser = (async () => {
    while (!isOver) seen.add(await watchOnce(follower.url));
  })();
  for (let restarts = 0; restarts < 3; restarts += 1) {
    if (restarts % 2 === 0) await follower.stop();
    else await follower.kill();
    follower.start();
    await cluster.ready();
  }
  isOver = true;
  await follower.stop();
  await browser;
  expect([...seen].filter((outcome) => /^[1345]/.test(outcome))).toEqual([]);
  expect(seen).toContain('200');
  follower.start();
  await cluster.ready();
});

it('a follower holds what needs the leader when that is gone, and sends nobody to where it was', async () => {
  const leader = await cluster.leader();
  const followers = cluster.nodes.filter((node) => node !== leader);
  await leader.kill();
  // Their kernels know it by now; after some turns of their event loops, they do as well.
  for (const { url } of [...followers, ...followers, ...followers])
    await (await fetch(`${url}/healthz`)).text();
  // From then on, and over and over until the next leader is known: each is answered by it, none is sent to the dead one.
  for (let count = 0; count < 20; count += 1) {
    for (const { url } of followers) {
      const answer = await fetch(`${url}/v1/kv/k${count}`, { method: 'PUT', body: 'x', redirect: 'manual' });
      await answer.arrayBuffer();
      expect([200, 201, 307]).toContain(answer.status);
      if (answer.status === 307) expect(answer.headers.get('location')).not.toContain(leader.url);
    }
  }
  const next = await cluster.leader();
  expect((await put(next.url, 'after', 'x')).kind).toBe('done');
});
