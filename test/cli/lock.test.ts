import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeNode } from '../http/fake-node.js';
import { listen, serve } from '../http/kit.js';
import { type Ran, run } from './kit.js';

let app: FastifyInstance;
let node: FakeNode;
let endpoint: string;
let directory: string;

beforeEach(async () => {
  ({ app, node } = serve());
  endpoint = `http://127.0.0.1:${await listen(app)}`;
  directory = mkdtempSync(join(tmpdir(), 'raftkv-lock-'));
});

afterEach(async () => {
  await app.close();
  rmSync(directory, { recursive: true });
});

const file = () => join(directory, 'said');

/** Runs this script of Node under the lock; `say` writes to a file, because the script has this process's own output. */
function underLock(script: string, flags: readonly string[] = []): Promise<Ran> {
  const say = `const say = (text) => require('fs').appendFileSync(${JSON.stringify(file())}, text + '\\n');`;
  const command = [process.execPath, '-e', `${say}${script}`];
  return run(['lock', 'jobs/daily', '--endpoints', endpoint, ...flags, '--', ...command]);
}

async function said(text: string): Promise<void> {
  while (!existsSync(file()) || !readFileSync(file(), 'utf8').includes(text))
    await new Promise((resolve) => setTimeout(resolve, 10));
}

async function holder(): Promise<{ readonly held: boolean; readonly token: number; readonly lease: string }> {
  return (await app.inject('/v1/locks/jobs/daily')).json();
}

describe('lock', () => {
  it('runs the command with its token, gives the lock back, and exits as the command does', async () => {
    const running = underLock(`say(process.env.RAFTKV_LOCK_TOKEN); setTimeout(() => process.exit(7), 100)`);
    await said('\n');
    const { token, held } = await holder();
    expect([held, readFileSync(file(), 'utf8')]).toEqual([true, `${token}\n`]);
    expect(await running).toEqual({ code: 7, output: '', errors: '' });
    expect(await holder()).toMatchObject({ held: false });
    expect((await underLock('')).code).toBe(0);
  });

  it('exits with 1 where another holds it, at once or after a wait', async () => {
    await app.inject({ method: 'POST', url: '/v1/locks/jobs/daily', payload: { ttlSeconds: 30 } });
    for (const flags of [[], ['--wait', '0s'], ['--wait', '50ms']]) {
      const refused = await underLock(`say('ran')`, flags);
      expect(refused).toMatchObject({ code: 1, errors: expect.stringContaining('(lock_held)') });
    }
    expect(existsSync(file())).toBe(false);
    const waiting = underLock(`say('ran')`, ['--wait', '20s']);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { token } = await holder();
    await app.inject({ method: 'DELETE', url: `/v1/locks/jobs/daily?token=${token}` });
    expect((await waiting).code).toBe(0);
    expect(readFileSync(file(), 'utf8')).toBe('ran\n');
  });

  it('keeps the lease alive, and ends the command when the lock is lost', async () => {
    const running = underLock(
      `process.on('SIGTERM', () => { say('told'); process.exit(0) }); setInterval(() => {}, 1e6); say('up')`,
      ['--ttl', '1s'],
    );
    await said('up');
    while (!node.calls.some((call) => call.startsWith('write leaseKeepAlive')))
      await new Promise((resolve) => setTimeout(resolve, 10));
    const { lease } = await holder();
    await app.inject({ method: 'DELETE', url: `/v1/leases/${lease}` });
    expect(await running).toMatchObject({ code: 1, errors: expect.stringContaining('(lease_lost)') });
    expect(readFileSync(file(), 'utf8')).toBe('up\ntold\n');
  });

  it('kills a command that does not end by itself when the lock is lost', async () => {
    const running = underLock(
      `process.on('SIGTERM', () => say('told')); setInterval(() => {}, 1e6); say('up')`,
      ['--ttl', '1s'],
    );
    await said('up');
    await app.close();
    expect((await running).code).toBe(1);
    expect(readFileSync(file(), 'utf8')).toBe('up\ntold\n');
  });

  it('passes signals on, and exits as a shell would for a command that was killed', async () => {
    const running = underLock(
      `process.on('SIGHUP', () => say('hup')); setInterval(() => {}, 1e6); say('up')`,
    );
    await said('up');
    process.emit('SIGHUP', 'SIGHUP');
    await said('hup');
    process.emit('SIGTERM', 'SIGTERM');
    expect((await running).code).toBe(143);
    expect(process.listenerCount('SIGTERM')).toBe(0);
    expect(await holder()).toMatchObject({ held: false });
  });

  it.each([
    [['sh', '-c', 'true'], "unknown option '-c'"],
    [['sleep', '--timeout', '5'], "option '--timeout <DURATION>' argument '5' is invalid"],
    [[], "missing required argument 'COMMAND'"],
  ])('says where the command %j stands when it is not read as one', async (words, reason) => {
    const { code, errors } = await run(['lock', 'jobs/daily', '--endpoints', endpoint, ...words]);
    expect([code, errors.split('\n')]).toEqual([
      2,
      [
        expect.stringContaining(`raftkv: ${reason}`),
        expect.stringMatching(/^raftkv: The command stands after --, as in: raftkv lock .* -- /),
        '',
      ],
    ]);
  });

  it('says that the command cannot be run, and gives the lock back', async () => {
    const refused = await run(['lock', 'jobs/daily', '--endpoints', endpoint, '--', '/nonexistent/command']);
    expect(refused).toMatchObject({ code: 2, errors: expect.stringContaining('cannot be run') });
    expect(await holder()).toMatchObject({ held: false });
  });
});
