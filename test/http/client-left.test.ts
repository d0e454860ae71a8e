import type { FastifyInstance } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { NodeKit, Outcome } from '../node/node-kit.js';
import { listen, RawConnection, type Served, serve } from './kit.js';

const open: FastifyInstance[] = [];

async function listening(options: Parameters<typeof serve>[0] = {}): Promise<Served & { port: number }> {
  const served = serve({ closeGraceMs: 50, ...options });
  open.push(served.app);
  return { ...served, port: await listen(served.app) };
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Every request that may wait, and the method of the port that waits for it. */
const waits: readonly (readonly [method: string, path: string, body: string, waitsIn: string])[] = [
  ['PUT', '/v1/kv/a?timeout=1h', 'x', 'write'],
  ['DELETE', '/v1/kv/a?timeout=1h', '', 'write'],
  ['DELETE', '/v1/kv?prefix=a&timeout=1h', '', 'write'],
  ['POST', '/v1/txn?timeout=1h', '{"success":[{"put":{"key":"a","value":"b"}}]}', 'write'],
  ['POST', '/v1/leases?timeout=1h', '{"ttlSeconds":9}', 'write'],
  ['POST', '/v1/leases/1/keepalive?timeout=1h', '', 'write'],
  ['DELETE', '/v1/leases/1?timeout=1h', '', 'write'],
  ['GET', '/v1/kv/a?timeout=1h', '', 'confirmRead'],
  ['GET', '/v1/kv?timeout=1h', '', 'confirmRead'],
  ['GET', '/v1/leases?timeout=1h', '', 'confirmRead'],
  ['GET', '/v1/locks/a?timeout=1h', '', 'confirmRead'],
  ['GET', '/v1/kv/a?timeout=1h&consistency=stale&minRevision=99', '', 'waitForRevision'],
  ['GET', '/v1/watch?key=a&timeout=1h&minRevision=99', '', 'waitForRevision'],
  ['GET', '/v1/watch?key=a&timeout=1h&fromRevision=99', '', 'confirmRead'],
  ['POST', '/v1/locks/a?timeout=1h', '{"ttlSeconds":9}', 'acquireLock'],
  ['DELETE', '/v1/locks/a?token=1&timeout=1h', '', 'releaseLock'],
  ['GET', '/v1/members?timeout=1h', '', 'members'],
  ['POST', '/v1/members?timeout=1h', '{"id":"n4","peer":"h:1"}', 'addMember'],
  ['POST', '/v1/members?timeout=1h&plan=true', '{"id":"n4","peer":"h:1"}', 'planMembers'],
  ['PUT', '/v1/members?timeout=1h', '{"members":[{"id":"n4","peer":"h:1"}]}', 'setMembers'],
  ['DELETE', '/v1/members/n1?timeout=1h', '', 'removeMember'],
  ['POST', '/v1/members/n1/promote?timeout=1h', '', 'promoteMember'],
  ['POST', '/v1/leader?timeout=1h', '{"to":"n2"}', 'transferLeadership'],
];

describe('a client that leaves', () => {
  it.each(waits)('ends what waits for it: %s %s', async (method, path, body, waitsIn) => {
    const { port, node } = await listening();
    let signal: AbortSignal | undefined;
    Object.assign(node, {
      [waitsIn]: (...parameters: readonly unknown[]) => {
        const last = parameters.at(-1);
        // A request for a lock carries its signal.
        signal = last instanceof AbortSignal ? last : (parameters[0] as { signal?: AbortSignal }).signal;
        return new Promise(() => {});
      },
    });
    const connection = new RawConnection(port);
    const length = method === 'GET' ? '' : `Content-Length: ${body.length}\r\n`;
    connection.send(`${method} ${path} HTTP/1.1\r\nHost: h\r\n${length}\r\n${body}`);
    await until(() => signal !== undefined);
    expect(signal?.aborted).toBe(false);
    connection.socket.resetAndDestroy();
    await until(() => signal?.aborted === true);
  });

  it('in good order ends it, too, a moment later', async () => {
    const { port, node } = await listening();
    let signal: AbortSignal | undefined;
    node.waitForRevision = (...parameters: readonly unknown[]) => {
      signal = parameters.at(-1) as AbortSignal;
      return new Promise(() => {});
    };
    const connection = new RawConnection(port);
    connection.send('GET /v1/kv/a?timeout=1h&consistency=stale&minRevision=99 HTTP/1.1\r\nHost: h\r\n\r\n');
    await until(() => signal !== undefined);
    connection.socket.destroy();
    await until(() => signal?.aborted === true);
  });

  it('and only closes its side still gets its answer', async () => {
    const { port, node } = await listening();
    let release = (): void => {};
    node.writeGate = new Promise((resolve) => {
      release = resolve;
    });
    const connection = new RawConnection(port);
    connection.socket.end('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
    await until(() => node.calls.some((call) => call.startsWith('write')));
    // The end of the stream has arrived by now, or arrives while the answer is on its way.
    setTimeout(release, 50);
    expect(await connection.untilEnd()).toMatch(/^HTTP\/1\.1 201 /);
  });

  it('and only closes its side is not kept for nothing: an idle connection ends with it', async () => {
    const { port } = await listening();
    const idle = new RawConnection(port);
    idle.socket.end();
    await idle.untilEnd();
    const used = new RawConnection(port);
    used.send('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
    await used.until(/"alive"/);
    used.socket.end();
    await used.untilEnd();
  });
});

describe('a connection of which the client has closed its side', () => {
  it('ends even where nothing answers the request on it', async () => {
    const { port, node } = await listening({ stalledMs: 600 });
    node.waitForRevision = () => new Promise(() => {});
    const connection = new RawConnection(port);
    connection.socket.end(
      'GET /v1/kv/a?timeout=1h&consistency=stale&minRevision=99 HTTP/1.1\r\nHost: h\r\n\r\n',
    );
    expect(await connection.untilEnd()).toBe('');
  });
});

describe('a connection on which nothing is asked for', () => {
  it('is ended after a while, and one on which a request waits is not', async () => {
    const { port, node } = await listening({ idleMs: 300 });
    let answer = () => {};
    node.waitForRevision = () =>
      new Promise((resolve) => {
        answer = () => resolve();
      });
    const waiting = new RawConnection(port);
    waiting.send('GET /v1/kv/a?timeout=1h&consistency=stale&minRevision=99 HTTP/1.1\r\nHost: h\r\n\r\n');
    const idle = new RawConnection(port);
    idle.send('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
    expect(await idle.untilEnd()).toMatch(/^HTTP\/1\.1 200 /);
    expect(waiting.ended).toBe(false);
    answer();
    expect(await waiting.untilEnd()).toMatch(/^HTTP\/1\.1 404 /);
  });

  it('and a connection that is used now and then stays', async () => {
    const { port } = await listening({ idleMs: 600 });
    const used = new RawConnection(port);
    const idle = new RawConnection(port);
    idle.send('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
    const asks = setInterval(() => used.send('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n'), 50);
    await idle.untilEnd();
    expect(used.ended).toBe(false);
    clearInterval(asks);
    await used.untilEnd();
  });
});

describe('in the node, a wait whose client has left', () => {
  it('frees its place, whatever its timeout is', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const client = new AbortController();
    const hour = 3_600_000;
    const bytes = new Uint8Array([1]);
    const late = () => new Error('late') as never;
    const outcomes = [
      new Outcome(kit.node.when(() => false, hour, late, client.signal)),
      new Outcome(kit.node.whenApplied(99, hour, client.signal)),
      new Outcome(kit.node.propose(bytes, hour, client.signal)),
    ];
    await kit.clock.pass(100);
    expect(outcomes.map(({ value }) => value)).toEqual(['waits', 'waits', 'waits']);
    const { lastIndex } = kit.node.raft;
    client.abort();
    await kit.clock.pass(100);
    expect(outcomes.map(({ value }) => value)).toEqual(['late', 'unavailable', 'outcome_unknown']);
    // What was proposed stays, and is committed.
    expect(kit.node.raft.lastIndex).toBe(lastIndex);
    await kit.acknowledge(lastIndex);
    expect(kit.node.raft.commitIndex).toBe(lastIndex);
  });
});
