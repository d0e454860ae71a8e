import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import type { Command, CommandResult } from '../../src/kv/types.js';
import { deadUrl } from '../client/fake-server.js';
import type { FakeNode } from '../http/fake-node.js';
import { listen, serve } from '../http/kit.js';
import { type Ran, type RunOptions, run } from './kit.js';

let app: FastifyInstance;
let node: FakeNode;
let endpoint: string;
/** What was written, in order, and how many writes were under way at a time at the most. */
let written: Command[];
let underWayMax: number;
/** Called before each write; what it throws is the answer. */
let beforeWrite: (command: Command) => void | Promise<void>;

beforeEach(async () => {
  ({ app, node } = serve());
  endpoint = `http://127.0.0.1:${await listen(app)}`;
  written = [];
  underWayMax = 0;
  beforeWrite = () => {};
  let underWay = 0;
  const write = node.write.bind(node);
  node.write = async (command, timeoutMs): Promise<CommandResult> => {
    written.push(command);
    underWay += 1;
    underWayMax = Math.max(underWayMax, underWay);
    try {
      // Others arrive meanwhile.
      await new Promise((resolve) => setTimeout(resolve, 2));
      await beforeWrite(command);
      return await write(command, timeoutMs);
    } finally {
      underWay -= 1;
    }
  };
});

afterEach(async () => {
  vi.useRealTimers();
  await app.close();
});

/** One second of load. */
function bench(flags: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return run(['bench', '--seconds', '1', '--endpoints', endpoint, ...flags], options);
}

/** Does something at the twentieth put. */
function amidst(what: () => void): void {
  let isDone = false;
  beforeWrite = () => {
    if (isDone || puts().length < 20) return;
    isDone = true;
    what();
  };
}

function puts() {
  return written.filter((command) => command.kind === 'put');
}

async function keysLeft(): Promise<readonly string[]> {
  const all = { prefix: Buffer.of(), after: undefined, revision: undefined, limit: 10_000, keysOnly: true };
  return (await node.list(all)).items.map(({ key }) => Buffer.from(key).toString());
}

describe('bench', () => {
  it('puts with so many requests in flight, tells of it, and deletes its own keys alone', async () => {
    await node.write(
      { kind: 'put', key: Buffer.from('bench/mine'), value: Buffer.of(), contentType: '' },
      1_000,
    );
    written.length = 0;
    const beganAtMs = performance.now();
    const ran = await bench(['--clients', '3', '--keys', '2', '--value-bytes', '17', '--json']);
    const tookMs = performance.now() - beganAtMs;
    expect([ran.code, ran.errors]).toEqual([0, '']);
    const { requests, perSecond, latencyMs, ...rest } = JSON.parse(ran.output);
    expect(rest).toEqual({
      operation: 'put',
      clients: 3,
      valueBytes: 17,
      keys: 2,
      seconds: 1,
      failures: {},
    });
    // One put shows whether they are taken.
    expect(requests).toBe(puts().length - 1);
    expect(perSecond).toBeGreaterThanOrEqual(requests - 3);
    expect(perSecond).toBeLessThanOrEqual(requests);
    expect(latencyMs.p50).toBeGreaterThan(0);
    expect(latencyMs.p50).toBeLessThanOrEqual(latencyMs.p90);
    expect(latencyMs.p90).toBeLessThanOrEqual(latencyMs.p99);
    expect(latencyMs.p99).toBeLessThanOrEqual(latencyMs.max);
    expect(latencyMs.max).toBeLessThan(tookMs);
    expect(underWayMax).toBe(3);
    const keys = new Set(puts().map(({ key }) => Buffer.from(key).toString()));
    expect(keys.size).toBe(2);
    for (const key of keys) expect(key).toMatch(/^bench\/[0-9a-f]{8}\/00000[01]$/);
    expect(puts().every(({ value }) => value.length === 17)).toBe(true);
    expect(await keysLeft()).toEqual(['bench/mine']);
  });

  it('does not count in the rate what was answered when the time was up', async () => {
    // A clock that moves when it is told to.
    vi.useFakeTimers({ toFake: ['performance'] });
    beforeWrite = () => {
      // The first one belongs to no measurement; the time begins before the second.
      if (puts().length === 3) vi.advanceTimersByTime(1_100);
    };
    const { requests, perSecond, seconds, latencyMs } = JSON.parse(
      (await bench(['--clients', '1', '--json'])).output,
    );
    expect([requests, perSecond, seconds]).toEqual([2, 1, 1]);
    expect(latencyMs.max).toBeGreaterThan(500);
  });

  it('reads keys that it put before, and deletes them a thousand at a time', async () => {
    const ran = await bench(['--operation', 'get', '--keys', '1001', '--prefix', 'load/', '--json']);
    expect(ran.code).toBe(0);
    expect(puts()).toHaveLength(1_001);
    const { operation, requests, failures } = JSON.parse(ran.output);
    expect([operation, failures]).toEqual(['get', {}]);
    expect(requests).toBeGreaterThan(0);
    const deletions = written.flatMap((command) =>
      command.kind === 'deletePrefix' ? [Buffer.from(command.prefix).toString()] : [],
    );
    expect(deletions.map((prefix) => prefix.replace(/[0-9a-f]{8}/, 'run'))).toEqual([
      'load/run/000',
      'load/run/001',
    ]);
    expect(await keysLeft()).toEqual([]);
  });

  it('counts failures by their code and exits with 1', async () => {
    const refusals = ['too_many_leases', 'too_many_leases', 'compacted'] as const;
    let refused = 0;
    beforeWrite = ({ kind }) => {
      const code = kind === 'put' && puts().length > 5 ? refusals[refused] : undefined;
      if (code === undefined) return;
      refused += 1;
      throw new RaftkvError(code, 'No.');
    };
    const ran = await bench(['--clients', '2']);
    expect(ran.code).toBe(1);
    expect(ran.output).toMatch(
      /^put: 2 clients, 1000 keys, values of 256 bytes, 1\.0 s\n\nREQUESTS +PER SECOND +P50 MS +P90 MS +P99 MS +MAX MS\n\d+ +\d+( +\d+\.\d\d){4}\n\nFAILURES +CODE\n2 +too_many_leases\n1 +compacted\n$/,
    );
    expect(ran.errors).toBe(`raftkv: 3 of ${puts().length - 1} requests failed.\n`);
    expect(await keysLeft()).toEqual([]);
  });

  it('measures nothing where the first put is refused', async () => {
    const ran = await bench(['--value-bytes', '2000', '--json']);
    expect([ran.code, ran.output, JSON.parse(ran.errors).code]).toEqual([1, '', 'value_too_large']);
    expect(written).toEqual([]);
  });

  it('deletes what may have been put, although nobody knows whether it was', async () => {
    beforeWrite = ({ kind }) => {
      if (kind === 'put') throw new RaftkvError('outcome_unknown', 'Nobody knows.');
    };
    const ran = await bench(['--timeout', '100ms']);
    expect(ran).toMatchObject({ code: 4, output: '', errors: 'raftkv: Nobody knows. (outcome_unknown)\n' });
    expect(written.at(-1)?.kind).toBe('deletePrefix');
  });

  it('exits with 3 where no node can be reached, from the beginning or from some time on', async () => {
    expect(await run(['bench', '--endpoints', await deadUrl()])).toMatchObject({
      code: 3,
      output: '',
      errors: expect.stringMatching(/^raftkv: No node can be reached: .*ECONNREFUSED/),
    });
    let closing: Promise<void> | undefined;
    amidst(() => {
      closing = app.close();
    });
    const ran = await run(['bench', '--seconds', '600', '--clients', '2', '--endpoints', endpoint]);
    await closing;
    expect(ran.code).toBe(3);
    expect(ran.output).toMatch(/\nFAILURES +CODE\n(.*\n)*\d +unreachable\n/);
    expect(ran.errors).toMatch(/^raftkv: The keys below bench\/[0-9a-f]{8}\/ could not be deleted: /);
  });

  it('tells what it measured and deletes its keys when it is interrupted', async () => {
    amidst(() => process.emit('SIGINT', 'SIGINT'));
    const ran = await run(['bench', '--seconds', '600', '--json', '--endpoints', endpoint]);
    expect(ran.code).toBe(130);
    const { requests, seconds } = JSON.parse(ran.output);
    expect(requests).toBe(puts().length - 1);
    expect(seconds).toBeLessThan(60);
    expect(await keysLeft()).toEqual([]);
    expect(process.listenerCount('SIGINT')).toBe(0);
  });

  it('deletes its keys when it is interrupted before it measures', async () => {
    amidst(() => process.emit('SIGTERM', 'SIGTERM'));
    const ran = await bench(['--operation', 'get', '--keys', '100000', '--json']);
    expect(ran.code).toBe(143);
    expect(JSON.parse(ran.output)).toMatchObject({ seconds: 0, requests: 0, perSecond: 0, latencyMs: null });
    expect(puts().length).toBeLessThan(100);
    expect(await keysLeft()).toEqual([]);
  });

  it('goes to the leader itself, as a program that uses the library does', async () => {
    const leader = serve();
    node.routed = {
      kind: 'follower',
      leader: 'n2',
      url: `http://127.0.0.1:${await listen(leader.app)}`,
    };
    expect((await bench([])).code).toBe(0);
    expect([written, leader.node.calls.length > 2]).toEqual([[], true]);
    await leader.app.close();
  });

  it('shows on a terminal how far it is', async () => {
    const { errors } = await bench([], { terminal: true });
    expect(errors).toMatch(/\r\[#* *\] +\d+% \d+ requests?\r/);
    expect(errors.endsWith('\r\u001b[K')).toBe(true);
    expect((await bench([])).errors).toBe('');
  });
});
