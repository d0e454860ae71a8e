import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { Prng } from '../../../src/sim/prng.js';
import { until } from '../../e2e/wait.js';
import { describeDelivery, Watcher } from './watcher.js';

let server: Server | undefined;
let watcher: Watcher | undefined;
afterEach(() => {
  watcher?.stop();
  server?.close();
  server?.closeAllConnections();
});

it('a watcher goes on after the last whole message, and hands on whatever it is told', async () => {
  const asked: string[] = [];
  const put = (id: string, value: string) =>
    `id: ${id}\nevent: put\ndata: {"key":"a","value":"${value}"}\n\n`;
  const streams = [
    `id: 0\nevent: progress\ndata: {"revision":0}\n\n${put('1-0', 'x')}id: 2-0\nevent: put\ndata: {"key":`,
    // Wrong, and for the judge to find: what was given before, and a revision left out.
    `${put('1-0', 'x')}${put('3-0', 'z')}id: 3\nevent: progress\ndata: {"revision":3}\n\n`,
  ];
  server = createServer((request, response) => {
    asked.push(`${request.headers['last-event-id']} ${request.url?.includes('fromRevision=1')}`);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(streams.shift() ?? '');
    setTimeout(() => response.destroy(), 50);
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const urls = [`http://127.0.0.1:${port}`];
  const told: string[] = [];
  watcher = new Watcher({
    name: 'w',
    prefix: '',
    urls,
    random: new Prng(1, 'test'),
    told: (delivery) => told.push(describeDelivery(delivery)),
  });
  void watcher.run();
  await until('three streams', () => asked.length >= 3 || undefined);
  expect(asked.slice(0, 3)).toEqual(['undefined true', '1-0 false', '3 false']);
  expect(told).toEqual(['progress 0', '1-0 put a = x', '1-0 put a = x', '3-0 put a = z', 'progress 3']);
  expect(watcher.revision).toBe(3);
});
