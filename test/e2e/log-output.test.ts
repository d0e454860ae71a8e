import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { isReady, put } from './client.js';
import { Cluster, type TestNode } from './cluster.js';
import { until } from './wait.js';

/** Far above what a stop takes, and far below the 10 s after which containers are killed. */
const STOP_MS_MAX = 8_000;

let cluster: Cluster | undefined;
let descriptor: number | undefined;
afterEach(async () => {
  await cluster?.remove();
  if (descriptor !== undefined) closeSync(descriptor);
  descriptor = undefined;
});

/** The node answers, and makes a change. */
async function expectService(node: TestNode): Promise<void> {
  await until('ready', async () => ((await isReady(node.url)) ? true : undefined));
  expect((await put(node.url, 'a', 'x')).kind).toBe('done');
}

async function expectStop(node: TestNode): Promise<void> {
  const startedAt = performance.now();
  expect(await node.stop()).toEqual({ code: 0, signal: null });
  expect(performance.now() - startedAt).toBeLessThan(STOP_MS_MAX);
}

/** A pipe that holds as much as it can. Whoever has it open both ways can write and read. */
function fullPipe(directory: string): number {
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const chunk = Buffer.alloc(4096, '.');
  try {
    for (;;) writeSync(pipe, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return pipe;
}

/** Everything that is in a pipe. */
function drain(pipe: number): string {
  const chunk = Buffer.alloc(65_536);
  let text = '';
  try {
    for (;;) text += chunk.toString('utf8', 0, readSync(pipe, chunk));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return text;
}

describe('a node whose log cannot be written', () => {
  it.skipIf(statSync('/dev/full', { throwIfNoEntry: false }) === undefined)(
    'starts, serves and stops while the disk of the log is full (needs /dev/full)',
    async () => {
      descriptor = openSync('/dev/full', 'w');
      cluster = await Cluster.of(0);
      const node = await cluster.addNode({ outputDescriptor: descriptor });
      node.start(['--single']);
      await expectService(node);
      await expectStop(node);
    },
  );

  it('starts, serves and stops while nobody reads the pipe, and loses no line when somebody reads again', async () => {
    cluster = await Cluster.of(0);
    const pipe = fullPipe(cluster.directory);
    descriptor = pipe;
    const node = await cluster.addNode({ outputDescriptor: pipe });
    node.start(['--single']);
    await expectService(node);
    let log = drain(pipe);
    await until('the line of the start', () => {
      log += drain(pipe);
      return log.includes('listens for clients') || undefined;
    });
    await expectStop(node);
  });

  it('stops in time while nobody reads the pipe', async () => {
    cluster = await Cluster.of(0);
    const pipe = fullPipe(cluster.directory);
    descriptor = pipe;
    const node = await cluster.addNode({ outputDescriptor: pipe });
    node.start(['--single']);
    await expectService(node);
    await expectStop(node);
  });

  it('goes on when nobody can ever read the pipe again, and counts the lines that are lost', async () => {
    cluster = await Cluster.of(0);
    const node = await cluster.addNode({});
    node.start(['--single']).closeOutput();
    await expectService(node);
    const metrics = await (await fetch(`${node.url}/metrics`)).text();
    expect(Number(/^raftkv_log_lines_dropped_total (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0);
    await expectStop(node);
  });
});

describe('what the log says', () => {
  it('names the address on which a node listens and the one at which others reach it', async () => {
    cluster = await Cluster.of(0);
    const node = await cluster.addNode();
    const everywhere = ['--http', `0.0.0.0:${node.httpPort}`, '--advertise-http', node.url];
    node.start(['--single', ...everywhere]);
    await expectService(node);
    expect(node.log).toContain(
      `n1 listens for clients at http://0.0.0.0:${node.httpPort} (others reach it at ${node.url}), and for peers at ${node.peer}.`,
    );
  });

  it('of the level debug tells of flushes, connections and their ends, and of the level trace of every message', async () => {
    const nodes = await Cluster.of(3);
    cluster = nodes;
    for (const node of nodes.nodes) node.start([...nodes.founding, '--log-level', 'trace']);
    await nodes.ready();
    await nodes.put('a', 'x');
    const node = await nodes.leader();
    const other = await nodes.follower();
    await other.kill();
    await until('the lines', () => {
      const expected = [
        /"level":"debug".*The state is on disk up to index \d+/,
        new RegExp(`"level":"debug".*Connected to ${other.id} at ${other.peer} for appends`),
        new RegExp(`"level":"debug".*The connection to ${other.id} for heartbeats ended: `),
        new RegExp(`"level":"trace".*from ${other.id}: appended term 2 match`),
        new RegExp(`"level":"trace".*to ${other.id}: heartbeat term`),
      ];
      return expected.every((line) => line.test(node.log)) || undefined;
    });
    // What the log on disk holds did not happen now.
    await node.stop();
    const before = node.log.length;
    node.start();
    await until('its start', () => /Starts in term/.test(node.log.slice(before)) || undefined);
    expect(node.log.slice(before)).not.toContain('configurationChanged');
  });
});
