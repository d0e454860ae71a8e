import { Buffer } from 'node:buffer';
import type { FastifyInstance } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { ByteBudget } from '../../src/http/byte-budget.js';
import { until as waitUntil } from '../e2e/wait.js';
import { listen, RawConnection, type Served, serve } from './kit.js';

const open: FastifyInstance[] = [];

async function listening(options: Parameters<typeof serve>[0] = {}): Promise<Served & { port: number }> {
  const served = serve({ closeGraceMs: 50, valueBytesMax: 1_000_000, ...options });
  open.push(served.app);
  await served.node.opens();
  return { ...served, port: await listen(served.app) };
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

async function figure(app: FastifyInstance, name: string): Promise<number> {
  const { body } = await app.inject('/metrics');
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(body)?.[1]);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  await waitUntil('what the test waits for', async () => ((await holds()) ? true : undefined));
}

const heldBytes = (app: FastifyInstance) => figure(app, 'raftkv_http_held_bytes');

/** A client that asks and reads nothing of the answer. */
function unread(port: number, path: string): RawConnection {
  const connection = new RawConnection(port);
  connection.socket.pause();
  ask(connection, path);
  return connection;
}

function ask(connection: RawConnection, path: string): void {
  connection.send(`GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`);
}

async function fill(app: FastifyInstance): Promise<void> {
  for (let key = 0; key < 20; key += 1)
    await app.inject({ method: 'PUT', url: `/v1/kv/k${key}`, payload: Buffer.alloc(400_000, 'x') });
}

describe('metrics', () => {
  it('are made once for all who ask meanwhile', async () => {
    let made = 0;
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const counts = {
      logLinesDropped: () => 0,
      peerRefusals: () => new Map(),
      storage: () => ({ checkedBytes: 0, isDamaged: false, repairs: 0 }),
      diskBytes: async () => {
        made += 1;
        await gate;
        return { log: 1, state: 1 };
      },
    };
    const { app } = await listening({ counts });
    const asked = Array.from({ length: 50 }, () => app.inject('/metrics'));
    await until(async () => made > 0);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    release();
    for (const { statusCode } of await Promise.all(asked)) expect(statusCode).toBe(200);
    expect(made).toBe(1);
  });

  it('are given past the bound of bytes, but once to a client that takes nothing', async () => {
    const budgetBytes = 40_000;
    const { app, port } = await listening({ budgetBytes });
    const connection = new RawConnection(port);
    connection.socket.pause();
    connection.send('GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(1_000));
    await until(async () => (await figure(app, 'raftkv_http_over_budget_total')) > 100);
    expect(await heldBytes(app)).toBeLessThan(budgetBytes);
    const other = new RawConnection(port);
    ask(other, '/metrics');
    expect(await other.until(/raftkv_term/)).toContain(' 200 ');
  });
});

describe('bytes that are held for clients', () => {
  // Nobody is refused or cut off for want of time, however slow the machine is.
  it.each(['/v1/kv?limit=20&timeout=1h', '/v1/kv/k0?timeout=1h'])(
    'are bounded: %s of clients that read nothing is refused before memory runs out, and others are served',
    async (path) => {
      const budgetBytes = 40_000_000;
      const { app, port } = await listening({ budgetBytes, valueBytesMax: 16_000_000, stalledMs: 3_600_000 });
      await fill(app);
      const isValue = path.startsWith('/v1/kv/');
      if (isValue)
        await app.inject({ method: 'PUT', url: '/v1/kv/k0', payload: Buffer.alloc(15_000_000, 'x') });
      // The kernel takes megabytes of each for itself, which are not held here.
      const clients = Array.from({ length: 20 }, () => unread(port, path));
      if (!isValue) for (const client of clients) for (let more = 0; more < 7; more += 1) ask(client, path);
      await until(async () => (await figure(app, 'raftkv_http_over_budget_total')) > 0);
      expect(await heldBytes(app)).toBeLessThanOrEqual(budgetBytes);
      const other = new RawConnection(port);
      other.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
      await other.until(/^HTTP\/1\.1 201 /);
      for (const client of clients) client.socket.destroy();
      await until(async () => (await heldBytes(app)) === 0);
      ask(other, path);
      await other.until(/HTTP\/1\.1 200 /);
    },
  );

  it('are bounded: what watches far behind have read and not given to their sockets', async () => {
    const { app, port, node } = await listening();
    await fill(app);
    const watch = node.watch.bind(node);
    // As many as the watches of a node read at a time.
    const readsMax = 8;
    let served = 0;
    let untaken = 0;
    let untakenMost = 0;
    node.watch = (request) => {
      const watcher = watch(request);
      let isHeld = false;
      let wasServed = false;
      const hold = (holds: boolean) => {
        untaken += Number(holds) - Number(isHeld);
        isHeld = holds;
        untakenMost = Math.max(untakenMost, untaken);
      };
      return {
        get settledThrough() {
          return watcher.settledThrough;
        },
        get holdsPast() {
          return watcher.holdsPast;
        },
        previousOf: (event) => watcher.previousOf(event),
        read: async () => {
          const events = await watcher.read();
          hold(events.length > 0);
          return events;
        },
        taken: () => {
          if (!wasServed) served += 1;
          wasServed = true;
          hold(false);
          watcher.taken();
        },
        close: () => {
          hold(false);
          watcher.close();
        },
      };
    };
    const path = '/v1/watch?prefix=&fromRevision=1';
    const clients = Array.from({ length: 30 }, () => unread(port, path));
    await until(async () => served === clients.length);
    expect(untakenMost).toBeGreaterThan(0);
    expect(untakenMost).toBeLessThanOrEqual(readsMax);
    // Clients that take nothing occupy no place, and another one gets everything.
    const other = new RawConnection(port);
    ask(other, path);
    await other.until(/"key":"k19"/);
    for (const client of clients) client.socket.destroy();
  });

  it('are told to clients as a reason to come back later', async () => {
    const { app, port } = await listening({ budgetBytes: 100_000 });
    await fill(app);
    const connection = unread(port, '/v1/kv/k0');
    connection.socket.resume();
    const answer = await connection.until(/"overloaded"/);
    expect(answer).toMatch(/^HTTP\/1\.1 503 [\s\S]*\r\nRetry-After: 1\r\n/);
  });

  it('are bounded: bodies that are not finished are refused when they are too many', async () => {
    const { app, port, node } = await listening({ budgetBytes: 3_000_000 });
    const clients = Array.from({ length: 8 }, () => new RawConnection(port));
    const head = 'PUT /v1/kv/a?timeout=1h HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n';
    for (const client of clients) {
      client.send(head);
      client.send(Buffer.alloc(999_999));
    }
    await until(async () => clients.filter(({ received }) => received !== '').length >= 5);
    for (const client of clients.filter(({ received }) => received !== ''))
      expect(await client.until(/"overloaded"/)).toMatch(/^HTTP\/1\.1 503 /);
    expect(await heldBytes(app)).toBeLessThanOrEqual(3_000_000);
    expect(node.calls).toEqual([]);
    for (const client of clients) client.socket.destroy();
    await until(async () => (await heldBytes(app)) === 0);
  });

  it('are released with each request, on a connection that lives on', async () => {
    const { app, port } = await listening({ budgetBytes: 1_000_000 });
    const connection = new RawConnection(port);
    const value = Buffer.alloc(400_000, 'v');
    for (let round = 0; round < 5; round += 1) {
      connection.send(`PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: ${value.length}\r\n\r\n`);
      connection.send(value);
      await connection.until(/HTTP\/1\.1 20[01] [\s\S]*"created".*}$/);
      connection.received = '';
      connection.send('GET /v1/kv/a HTTP/1.1\r\nHost: h\r\n\r\n');
      await connection.until(/^HTTP\/1\.1 200 /);
      await until(async () => connection.received.length > value.length);
      connection.received = '';
    }
    await until(async () => (await heldBytes(app)) === 0);
  });

  it('are released with the connection for all requests that wait their turn on it', async () => {
    const { app, port } = await listening({ budgetBytes: 20_000_000 });
    await fill(app);
    const connection = unread(port, '/v1/kv/k0');
    for (let more = 0; more < 30; more += 1) connection.send('GET /v1/kv/k0 HTTP/1.1\r\nHost: h\r\n\r\n');
    await until(async () => (await heldBytes(app)) > 0);
    connection.socket.destroy();
    await until(async () => (await heldBytes(app)) === 0);
  });

  it('do not keep a change that was made from being answered, nor the figures', async () => {
    const { port, app } = await listening({ budgetBytes: 10_000 });
    const put = `{"put":{"key":"${'k'.repeat(100)}","value":"v"}}`;
    const operations = Array.from({ length: 100 }, (_, number) => put.replace('kkk', `k${number}k`)).join(
      ',',
    );
    const body = `{"success":[${operations}]}`;
    const changed = new RawConnection(port);
    changed.send(`POST /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}`);
    await changed.until(/succeeded/);
    // Too large to be read, and so nothing is changed …
    changed.received = '';
    changed.send(`POST /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await changed.until(/"overloaded"/);
    // … and what was read is answered, though the answer is larger.
    const gets = Array.from({ length: 100 }, () => '{"get":{"prefix":""}}').join(',');
    await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'x'.repeat(1_000) });
    const small = `{"success":[{"put":{"key":"b","value":"c"}},${gets}]}`;
    const answered = new RawConnection(port);
    answered.send(`POST /v1/txn HTTP/1.1\r\nHost: h\r\nContent-Length: ${small.length}\r\n\r\n${small}`);
    await answered.until(/^HTTP\/1\.1 200 /);
    const scraper = new RawConnection(port);
    scraper.send('GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n');
    await scraper.until(/^HTTP\/1\.1 200 [\s\S]*raftkv_http_over_budget_total 1\n/);
  });
});

describe('a client that takes nothing', () => {
  it.each(['/v1/kv?limit=20', '/v1/kv/k0', '/v1/watch?prefix=&fromRevision=1'])(
    'of %s is cut off after a while, and one that takes a little is not',
    async (path) => {
      const { app, port } = await listening({ stalledMs: 600, valueBytesMax: 16_000_000 });
      await fill(app);
      // More than the kernel takes.
      await app.inject({ method: 'PUT', url: '/v1/kv/k0', payload: Buffer.alloc(15_000_000, 'x') });
      const silent = unread(port, path);
      const slow = unread(port, path);
      slow.socket.on('data', () => slow.socket.pause());
      const reads = setInterval(() => slow.socket.resume(), 20);
      if (path.startsWith('/v1/kv?')) for (let more = 0; more < 5; more += 1) ask(silent, path);
      await until(async () => (await figure(app, 'raftkv_http_stalled_connections_total')) > 0);
      clearInterval(reads);
      expect(slow.ended).toBe(false);
      silent.socket.resume();
      await silent.untilEnd();
    },
  );
});

describe('large answers', () => {
  it('are made a few at a time, in the order of asking, and not for clients that have left', async () => {
    const budget = new ByteBudget(0);
    const began: number[] = [];
    const ends: (() => void)[] = [];
    const left = new AbortController();
    const stays = new AbortController().signal;
    const outcomes = Array.from({ length: 8 }, (_, number) =>
      budget
        .produce(number === 5 ? left.signal : stays, () => {
          began.push(number);
          return new Promise<void>((resolve) => ends.push(resolve));
        })
        .catch((reason: unknown) => reason),
    );
    await new Promise(setImmediate);
    expect(began).toEqual([0, 1, 2, 3]);
    left.abort('left');
    ends[0]?.();
    await new Promise(setImmediate);
    expect(began).toEqual([0, 1, 2, 3, 4]);
    ends[1]?.();
    await new Promise(setImmediate);
    expect(began).toEqual([0, 1, 2, 3, 4, 6]);
    while (began.length < 7) {
      for (const end of ends) end();
      await new Promise(setImmediate);
    }
    for (const end of ends) end();
    expect(await outcomes[5]).toBe('left');
    await Promise.all(outcomes);
  });

  it('leave the line as soon as their client does', async () => {
    const budget = new ByteBudget(0);
    const stays = new AbortController().signal;
    for (let number = 0; number < 4; number += 1) void budget.produce(stays, () => new Promise(() => {}));
    const left = new AbortController();
    const waiting = budget.produce(left.signal, async () => 'made');
    left.abort('left');
    await expect(waiting).rejects.toBe('left');
    await expect(budget.produce(left.signal, async () => 'made')).rejects.toBe('left');
  });

  it.each([
    ['GET', '/v1/kv?prefix=', ''],
    ['POST', '/v1/txn', '{"success":[{"get":{"prefix":""}}]}'],
  ] as const)(
    'are refused when their time is up while others are made: %s %s',
    async (method, path, payload) => {
      const { app, node } = await listening({ budgetBytes: 0 });
      const { list } = node;
      node.list = () => new Promise(() => {});
      for (let number = 0; number < 4; number += 1) void app.inject('/v1/kv?timeout=1h').catch(() => {});
      await until(async () => node.calls.filter((call) => call.startsWith('confirmRead')).length === 4);
      await new Promise(setImmediate);
      node.list = list;
      const url = `${path}${path.includes('?') ? '&' : '?'}timeout=50ms`;
      const late = await app.inject({ method, url, payload });
      expect([late.statusCode, JSON.parse(late.body).code]).toEqual([503, 'unavailable']);
    },
  );
});
