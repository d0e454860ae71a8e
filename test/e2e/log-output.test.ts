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
