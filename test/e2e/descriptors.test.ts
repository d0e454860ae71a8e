import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cluster, showLogsOfFailures } from './cluster.js';

const LIMIT = 128;
const VALUE = Buffer.alloc(200_000, 'x');
/** Enough for LevelDB to write and merge tables, for which it opens files. */
const PUTS = 150;

let cluster: Cluster;
showLogsOfFailures(() => cluster);
beforeAll(async () => {
  cluster = await Cluster.started(3, {
    launcher: ['sh', '-c', `ulimit -n ${LIMIT}; exec "$@"`, 'sh'],
    flags: ['--client-routing', 'serve'],
  });
});
afterAll(() => cluster?.remove());

it('idle connections to both ports of all nodes keep neither a client that was there from writing nor the nodes from running', async () => {
  const leader = await cluster.leader();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const put = (key: string) =>
    new Promise<number>((resolve, reject) => {
      const options = { method: 'PUT', agent, headers: { 'content-length': VALUE.length } };
      const outgoing = request(`${leader.url}/v1/kv/${key}`, options, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
      });
      outgoing.on('error', reject);
      outgoing.end(VALUE);
    });
  expect(await put('before')).toBe(201);
  const idle: Socket[] = [];
  for (const { httpPort, peerPort } of cluster.nodes) {
    for (const port of [httpPort, peerPort]) {
      for (let count = 0; count < LIMIT; count += 1) {
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => {});
        idle.push(socket);
      }
    }
  }
  const statuses = new Set<number>();
  for (let count = 0; count < PUTS; count += 1) statuses.add(await put(`k${count}`));
  expect([...statuses]).toEqual([201]);
  expect(cluster.running).toHaveLength(3);
  for (const socket of idle) socket.destroy();
  agent.destroy();
  await cluster.ready();
  await cluster.settled();
});
