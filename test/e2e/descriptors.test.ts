import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { until } from './wait.js';

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
  const putOnce = (key: string) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const options = { method: 'PUT', agent, headers: { 'content-length': VALUE.length } };
      const outgoing = request(`${leader.url}/v1/kv/${key}`, options, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      outgoing.on('error', reject);
      outgoing.end(VALUE);
    });
  // On a busy machine leadership may change, which has nothing to do with descriptors. A put may as well be done twice.
  const put = (key: string) =>
    until(`${key} put`, async () => {
      const { status, text } = await putOnce(key);
      return /"(no_leader|outcome_unknown)"/.test(text) ? undefined : status;
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
  for (const status of statuses) expect([200, 201]).toContain(status);
  expect(cluster.running).toHaveLength(3);
  for (const socket of idle) socket.destroy();
  agent.destroy();
  await cluster.ready();
  await cluster.settled();
});
