import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { get, put } from './client.js';
import { freePorts } from './ports.js';
import { ProgramRun } from './program.js';
import { until } from './wait.js';

const NODES = 3;

describe('raftkv dev', () => {
  let directory: string;
  let baseHttp: number;
  let basePeer: number;
  let runs: ProgramRun[];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'raftkv-e2e-'));
    runs = [];
    // It counts up from the first of each.
    [baseHttp, basePeer] = [await freeRange(), await freeRange()];
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(runs.map((run) => run.output + run.errors).join('\n'));
    // Its nodes notice when it is gone.
    await Promise.all(runs.map((run) => run.kill()));
    for (let place = 0; place < NODES; place += 1) await untilFree(baseHttp + place);
    await rm(directory, { recursive: true, force: true });
  });

  function start(dataDirectory = directory, flags: readonly string[] = []): ProgramRun {
    const run = new ProgramRun([
      ...['dev', '--data-dir', dataDirectory],
      ...['--base-http', String(baseHttp), '--base-peer', String(basePeer)],
      ...flags,
    ]);
    runs.push(run);
    return run;
  }

  async function ready(run: ProgramRun): Promise<void> {
    await until('dev is ready', () => {
      if (run.exit !== undefined) throw new Error(`dev ended: ${run.output}${run.errors}`);
      return /^ready$/m.test(run.output) ? true : undefined;
    });
  }

  it('starts three nodes, shows lines that work, stops all at Ctrl-C, and keeps the data', async () => {
    const startedAt = performance.now();
    const first = start();
    await ready(first);
    const url = `http://127.0.0.1:${baseHttp}`;
    expect(await put(url, 'first', 'write')).toMatchObject({ kind: 'done' });
    console.info(
      `dev: the first write was acknowledged ${Math.round(performance.now() - startedAt)} ms after its start`,
    );

    const lines = first.output.match(/^ {2}curl .*$/gm) ?? [];
    expect(lines).toHaveLength(4);
    const answers: string[] = [];
    for (const line of lines) answers.push(await inShell(line.trim()));
    expect(JSON.parse(present(answers[0], 'The first line puts.'))).toMatchObject({
      key: 'greeting',
      created: true,
    });
    expect(answers[1]).toBe('hello');
    expect(JSON.parse(present(answers[2], 'The third line lists.'))).toMatchObject({
      items: [{ value: 'hello' }],
    });
    // The lines ask a node that is still there after the kill.
    const victim = /^ {2}kill -9 \d+ {4}# (n\d)/m.exec(first.output)?.[1];
    const { id, leader } = JSON.parse(present(answers[3], 'The fourth line asks a node.'));
    expect([victim, id]).toEqual([expect.stringMatching(/^n[123]$/), expect.not.stringMatching(`${victim}`)]);
    expect(typeof leader).toBe('string');

    const interruptedAt = performance.now();
    first.signal('SIGINT');
    expect(await first.ended()).toEqual({ code: 0, signal: null });
    console.info(`dev: it was gone ${Math.round(performance.now() - interruptedAt)} ms after Ctrl-C`);
    expect(first.errors).toBe('');
    for (let place = 0; place < NODES; place += 1) await untilFree(baseHttp + place);

    const second = start();
    await ready(second);
    expect(await get(url, 'greeting')).toMatchObject({ value: 'hello' });
    second.signal('SIGINT');
    expect(await second.ended()).toEqual({ code: 0, signal: null });
  });

  it('moves its cluster to other ports, and lets a page beside it in', async () => {
    const first = start();
    await ready(first);
    expect(await put(`http://127.0.0.1:${baseHttp}`, 'greeting', 'hello')).toMatchObject({ kind: 'done' });
    first.signal('SIGINT');
    await first.ended();
    [baseHttp, basePeer] = [await freeRange(), await freeRange()];
    const origin = 'http://localhost:5173';
    const second = start(directory, ['--cors-origin', origin, '--allowed-host', 'kv.test']);
    await ready(second);
    for (let place = 0; place < NODES; place += 1) {
      const answer = await statusAs(baseHttp + place, { host: 'kv.test', origin });
      expect([answer.statusCode, answer.headers['access-control-allow-origin']]).toEqual([200, origin]);
    }
    expect(await get(`http://127.0.0.1:${baseHttp}`, 'greeting')).toMatchObject({ value: 'hello' });
  });

  it('says in one line which port is occupied, and leaves no node behind', async () => {
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(baseHttp + 1, '127.0.0.1', resolve));
    const run = start();
    const exit = await run.ended();
    await new Promise((resolve) => server.close(resolve));
    expect(exit.code).toBe(1);
    const said = run.output + run.errors;
    expect(said).toContain(
      `n2 could not start: 127.0.0.1:${baseHttp + 1} is in use by another process. Stop it, or choose another port with --base-http.`,
    );
    expect(said).not.toContain('    at ');
    // No cluster came to be, so none of another size is in the way.
    expect(existsSync(join(directory, 'nodes'))).toBe(false);
    for (let place = 0; place < NODES; place += 1) await untilFree(baseHttp + place);
  });

  it('refuses to run the cluster of a directory twice, and says who runs it', async () => {
    const first = start();
    await ready(first);
    const second = start();
    expect((await second.ended()).code).toBe(2);
    expect(second.output).toBe('');
    expect(second.errors).toContain(`is running already: process ${first.pid} runs it`);
    expect(second.errors).toContain(`http://127.0.0.1:${baseHttp}`);
    // The first one goes on, and its end frees the directory.
    expect(await put(`http://127.0.0.1:${baseHttp}`, 'still', 'here')).toMatchObject({ kind: 'done' });
    await first.kill();
    for (let place = 0; place < NODES; place += 1) await untilFree(baseHttp + place);
    await ready(start());
  });

  it('is never ready because the nodes of another cluster answer at its ports', async () => {
    const first = start();
    await ready(first);
    const other = await mkdtemp(join(tmpdir(), 'raftkv-e2e-'));
    const second = start(other);
    const exit = await second.ended();
    await rm(other, { recursive: true, force: true });
    expect(exit.code).toBe(1);
    expect(second.output).not.toMatch(/^ready$/m);
    expect(second.output).not.toContain('kill -9');
    expect(second.output).toMatch(/http:\S+ is n\d of cluster [0-9a-f]{16}, which runs already/);
  });

  it('stops its nodes when it is killed itself', async () => {
    const run = start();
    await ready(run);
    await run.kill();
    for (let place = 0; place < NODES; place += 1) await untilFree(baseHttp + place);
  });
});

/** The answer to `GET /v1/status` with headers of which `fetch` sends none. */
function statusAs(port: number, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = httpGet({ host: '127.0.0.1', port, path: '/v1/status', headers }, (answer) => {
      answer.resume();
      answer.once('end', () => resolve(answer));
    });
    asked.once('error', reject);
  });
}

/** The first of three free ports in a row. */
async function freeRange(): Promise<number> {
  return until('ports in a row', async () => {
    const ports = await freePorts(NODES);
    const first = ports[0] ?? 0;
    return ports.at(-1) === first + NODES - 1 ? first : undefined;
  });
}

async function untilFree(port: number): Promise<void> {
  await until(`port ${port} free`, async () => {
    const server = createServer();
    return new Promise<true | undefined>((resolve) => {
      server.once('error', () => resolve(undefined));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
  });
}

/** As a reader would type it; without curl, the same request by other means. */
async function inShell(line: string): Promise<string> {
  try {
    return (await promisify(execFile)('/bin/sh', ['-c', line])).stdout;
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 127) throw error;
  }
  const url = present(/http:[^' ]+/.exec(line)?.[0], `A URL in ${line}`);
  const isPut = line.includes('-X PUT');
  const response = await fetch(url, isPut ? { method: 'PUT', body: 'hello' } : {});
  return response.text();
}
