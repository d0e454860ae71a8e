import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { ByteBudget } from '../../src/http/byte-budget.js';
import { EventBytes, newlineDelimitedJson, serverSentEvents } from '../../src/http/watch-events.js';
import { WatchStreams } from '../../src/http/watch-stream.js';
import { listen, RawConnection, serve } from './kit.js';

async function listening(options: Parameters<typeof serve>[0] = {}) {
  const { app, node } = serve(options);
  await node.opens();
  return { app, node, port: await listen(app) };
}

type App = Awaited<ReturnType<typeof listening>>['app'];

function watch(port: number, query: string, headers: Record<string, string> = {}): RawConnection {
  const connection = new RawConnection(port);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  connection.send(`GET /v1/watch?${query} HTTP/1.1\r\nHost: h\r\n${lines.join('')}\r\n`);
  return connection;
}

/** What came after the head, without the marks of chunks. */
function streamed(connection: RawConnection): string {
  return connection.received
    .slice(connection.received.indexOf('\r\n\r\n') + 4)
    .replaceAll(/[0-9a-f]+\r\n((?:.|\n)*?)\r\n/g, '$1');
}

const put = (app: App, key: string, payload: string, query = '') =>
  app.inject({ method: 'PUT', url: `/v1/kv/${key}${query}`, payload });

describe('a watch over HTTP', () => {
  it('that is refused as overloaded says so, and when to ask again, to an EventSource', async () => {
    const { app, node, port } = await listening();
    node.watch = () => {
      throw new RaftkvError('overloaded', 'Too many.');
    };
    const connection = watch(port, 'prefix=', { accept: 'text/event-stream', connection: 'close' });
    const received = await connection.untilEnd();
    // Any other status is final to it.
    expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(received).toContain('Content-Type: text/event-stream\r\n');
    expect(received.slice(received.indexOf('\r\n\r\n') + 4)).toMatch(
      /^retry: \d+\nevent: error\ndata: \{.*"code":"overloaded".*\}\n\n$/,
    );
    const other = watch(port, 'prefix=', { accept: 'application/x-ndjson', connection: 'close' });
    expect(await other.untilEnd()).toMatch(/^HTTP\/1\.1 503 .*"code":"overloaded"/s);
    await app.close();
  });

  it('is a stream of Server-Sent Events that begins with where it begins', async () => {
    const { app, port } = await listening();
    await put(app, 'a', 'before');
    const connection = watch(port, 'prefix=a');
    await connection.until(/event: progress/);
    await put(app, 'a', 'x');
    await put(app, 'b', 'other');
    await put(app, 'a%FF', 'y', '?ttl=5s');
    await app.inject({ method: 'DELETE', url: '/v1/kv/a' });
    await connection.until(/event: delete\n.*\n\n/);
    expect(connection.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    for (const header of [
      'Content-Type: text/event-stream',
      'Cache-Control: no-store',
      'Raftkv-Node: n1',
      'Raftkv-Consistency: stale',
    ]) {
      expect(connection.received).toContain(`${header}\r\n`);
    }
    expect(streamed(connection)).toBe(
      [
        'id: 1\nevent: progress\ndata: {"revision":1}\n\n',
        'id: 2-0\nevent: put\ndata: {"key":"a","value":"x","createRevision":1,"modRevision":2,"version":2}\n\n',
        'id: 4-0\nevent: put\ndata: {"keyBase64":"Yf8=","value":"y","createRevision":4,"modRevision":4,"version":1,"lease":"1"}\n\n',
        'id: 5-0\nevent: delete\ndata: {"key":"a","modRevision":5}\n\n',
      ].join(''),
    );
    connection.socket.destroy();
    await app.close();
  });

  it('is one JSON object a line where that is asked for', async () => {
    const { app, port } = await listening();
    await put(app, 'a', 'x');
    await put(app, 'a', 'y');
    await app.inject({ method: 'DELETE', url: '/v1/kv/a' });
    const connection = watch(port, 'key=a&fromRevision=1&previous=true', { accept: 'application/x-ndjson' });
    await connection.until(/"type":"delete".*\n/);
    const item = (value: string, modRevision: number) => ({
      key: 'a',
      value,
      createRevision: 1,
      modRevision,
      version: modRevision,
    });
    const lines = streamed(connection).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { type: 'progress', revision: 0 },
      { type: 'put', revision: 1, n: 0, item: item('x', 1) },
      { type: 'put', revision: 2, n: 0, item: item('y', 2), previous: item('x', 1) },
      { type: 'delete', revision: 3, n: 0, key: 'a', previous: item('y', 2) },
    ]);
    connection.socket.destroy();
    await app.close();
  });

  it('resumes after the last event that the client has seen', async () => {
    const { app, port } = await listening();
    await app.inject({
      method: 'POST',
      url: '/v1/txn',
      payload: '{"success":[{"put":{"key":"a","value":"1"}},{"put":{"key":"b","value":"2"}}]}',
    });
    await put(app, 'c', '3');
    for (const [lastEventId, expected] of [
      ['1-0', ['1-1', '2-0']],
      ['1-1', ['2-0']],
      ['1', ['2-0']],
      ['0', ['1-0', '1-1', '2-0']],
    ] as const) {
      // What the client has seen counts, not what its URL says.
      const connection = watch(port, 'prefix=&fromRevision=1', { 'Last-Event-ID': lastEventId });
      await connection.until(/id: 2-0/);
      expect([...streamed(connection).matchAll(/^id: (\d+-\d+)\nevent: put$/gm)].map(([, id]) => id)).toEqual(
        expected,
      );
      connection.socket.destroy();
    }
    await app.close();
  });

  it.each([
    ['', {}, 400, 'needs "key" or "prefix"'],
    ['key=a&prefix=a', {}, 400, 'one of them'],
    ['key=', {}, 400, '1 to 4096'],
    ['key=a&fromRevision=0', {}, 400, '"fromRevision"'],
    ['key=a&from=1', {}, 400, '"from"'],
    ['key=a&previous=yes', {}, 400, '"previous"'],
    ['key=a', { 'Last-Event-ID': 'x' }, 400, 'Last-Event-ID'],
    ['key=a', { 'Last-Event-ID': '1-' }, 400, 'Last-Event-ID'],
  ] as const)('of %j with %j is refused by name', async (query, headers, status, word) => {
    const { app } = await listening();
    const answer = await app.inject({ url: `/v1/watch?${query}`, headers });
    expect(answer.statusCode).toBe(status);
    expect(JSON.parse(answer.body).detail).toContain(word);
    await app.close();
  });

  it('that resumes in the middle of a revision is not sent back to its beginning', async () => {
    const { app, port } = await listening();
    await put(app, 'a', 'x');
    const connection = watch(port, 'prefix=', { 'Last-Event-ID': '1-0' });
    await connection.until(/event: progress\n.*\n\n/);
    expect(streamed(connection)).toBe('id: 1-0\nevent: progress\ndata: {"revision":0}\n\n');
    connection.socket.destroy();
    await app.close();
  });

  it('has no HEAD, which would be a stream without a word', async () => {
    const { app } = await listening();
    const answer = await app.inject({ method: 'HEAD', url: '/v1/watch?key=a' });
    expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'GET']);
    await app.close();
  });

  it('begins when the node has the revision that is asked for, and not later than the timeout says', async () => {
    const { app, port } = await listening();
    const early = await app.inject('/v1/watch?key=a&minRevision=1&timeout=20ms');
    expect([early.statusCode, JSON.parse(early.body).code]).toEqual([503, 'unavailable']);
    const connection = watch(port, 'key=a&minRevision=1&timeout=10s');
    const other = watch(port, 'key=a');
    await other.until(/event: progress/);
    expect(connection.received).toBe('');
    await put(app, 'a', 'x');
    // It begins after the revision that it has waited for.
    await connection.until(/id: 1\nevent: progress/);
    for (const { socket } of [connection, other]) socket.destroy();
    await app.close();
  });

  it('from a revision beyond the cluster is refused, and is told of no progress there', async () => {
    const { app, node } = await listening();
    await put(app, 'a', 'x');
    for (const [query, headers] of [
      ['key=a&fromRevision=999999', {}],
      ['key=a', { 'Last-Event-ID': '42-0' }],
      ['key=a', { 'Last-Event-ID': '2' }],
    ] as const) {
      const answer = await app.inject({ url: `/v1/watch?${query}`, headers });
      expect([answer.statusCode, answer.json().code, answer.json().revision]).toEqual([
        409,
        'revision_in_future',
        1,
      ]);
    }
    // The next revision is not in the future: a watch may wait for it.
    expect(node.calls.filter((call) => call.startsWith('confirmRead'))).toHaveLength(3);
    await app.close();
  });

  it('from a revision that only this node lacks waits for it, within the timeout', async () => {
    const { app, node, port } = await listening();
    const lagging = watch(port, 'key=a&fromRevision=2&timeout=10s');
    // Nobody leads, so nothing says yet whether there is such a revision.
    node.failure = new RaftkvError('no_leader', 'No leader is known.');
    const waitsFor = vi.spyOn(node, 'waitForRevision').mockImplementation(async () => {
      node.failure = undefined;
      await put(app, 'a', 'x');
    });
    await lagging.until(/id: 1\nevent: progress/);
    expect(waitsFor).toHaveBeenCalledOnce();
    lagging.socket.destroy();
    await app.close();
  });

  it('that names another cluster is refused, and every answer names this one', async () => {
    const { app } = await listening();
    const answer = await app.inject('/v1/watch?key=a&cluster=another');
    expect([answer.statusCode, answer.json().code, answer.json().cluster]).toEqual([
      409,
      'other_cluster',
      'c0ffee',
    ]);
    const same = await put(app, 'a', 'x', '?cluster=c0ffee');
    expect([same.statusCode, same.headers['raftkv-cluster']]).toEqual([201, 'c0ffee']);
    expect((await put(app, 'a', 'y', '?cluster=another')).statusCode).toBe(409);
    for (const query of [
      '?cluster',
      '?cluster=',
      '?cluster=c0ffee&cluster=another',
      '?ttl=1s&cluster=another',
    ])
      expect((await put(app, 'a', 'y', query)).statusCode, query).toBe(409);
    await app.close();
  });

  it('that is quiet gets signs of life, and is told how far it came', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const { app, port } = await listening();
      const sse = watch(port, 'key=a');
      const lines = watch(port, 'key=a', { accept: 'application/x-ndjson' });
      for (const connection of [sse, lines]) await connection.until(/progress.*\n/);
      const begun = [streamed(sse), streamed(lines)];
      await put(app, 'b', 'x');
      await vi.advanceTimersByTimeAsync(4_000);
      expect([streamed(sse), streamed(lines)]).toEqual(begun);
      await vi.advanceTimersByTimeAsync(2_000);
      await sse.until(/id: 1\nevent: progress\ndata: \{"revision":1\}\n\n/);
      await lines.until(/\{"type":"progress","revision":1\}\n/);
      await vi.advanceTimersByTimeAsync(16_000);
      await sse.until(/: heartbeat\n\n/);
      await lines.until(/"revision":1\}\n\r\n1\r\n\n\r\n/);
      for (const { socket } of [sse, lines]) socket.destroy();
      await app.close();
    } finally {
      vi.useRealTimers();
    }
  });

  it('is encoded once for all who are told the same, what was there before included', () => {
    const event = {
      revision: 2,
      number: 0,
      kind: 'delete' as const,
      key: Buffer.from('a'),
      item: undefined,
      previousRevision: 1,
    };
    const bytes = new EventBytes(newlineDelimitedJson);
    const previousOf = vi.fn(() => undefined);
    expect(bytes.of(event, undefined)).toBe(bytes.of(event, undefined));
    expect(bytes.of(event, previousOf)).toBe(bytes.of(event, previousOf));
    expect(previousOf).toHaveBeenCalledOnce();
  });

  it('of a client that takes nothing does not hold up a node that stops', async () => {
    // Longer than this test may take: it ends only if nobody waits for the client.
    const { app, port } = await listening({ valueBytesMax: 100_000, closeGraceMs: 3_600_000 });
    const connection = watch(port, 'key=a');
    await connection.until(/progress/);
    connection.socket.pause();
    // More than the system's buffers between the two hold.
    for (let number = 0; number < 300; number += 1) await put(app, 'a', 'v'.repeat(100_000));
    await app.close();
    connection.socket.destroy();
  });

  it('is ended with a reason when the node stops, which it does not hold up', async () => {
    const { app, port } = await listening({ closeGraceMs: 3_600_000 });
    const connection = watch(port, 'key=a');
    await connection.until(/progress/);
    const closed = app.close();
    await connection.untilEnd();
    await closed;
    expect(streamed(connection)).toContain('event: error\ndata: {"type":"urn:raftkv:problem:shutting_down"');
  });

  it('is freed when the client hangs up', async () => {
    const { app, port } = await listening();
    const open = async () => Number(/^raftkv_watches (\d+)$/m.exec((await app.inject('/metrics')).body)?.[1]);
    const connections = [1, 2, 3].map(() => watch(port, 'key=a'));
    for (const connection of connections) await connection.until(/progress/);
    expect(await open()).toBe(3);
    for (const connection of connections) connection.socket.destroy();
    while ((await open()) > 0) await new Promise((resolve) => setImmediate(resolve));
    await app.close();
  });

  it('whose turn on its connection never comes is freed with what is held for it', async () => {
    const { app, port } = await listening();
    for (let number = 0; number < 100; number += 1) await put(app, 'a', 'v'.repeat(1_000));
    const metric = async (name: string) =>
      Number(new RegExp(`^${name} (\\d+)$`, 'm').exec((await app.inject('/metrics')).body)?.[1]);
    const until = async (name: string, holds: (value: number) => boolean) => {
      while (!holds(await metric(name))) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const connection = watch(port, 'key=b');
    connection.send('GET /v1/watch?key=a&fromRevision=1 HTTP/1.1\r\nHost: h\r\n\r\n');
    await until('raftkv_watches', (count) => count === 2);
    await until('raftkv_http_held_bytes', (bytes) => bytes > 0);
    connection.socket.resetAndDestroy();
    await until('raftkv_watches', (count) => count === 0);
    await until('raftkv_http_held_bytes', (bytes) => bytes === 0);
    await app.close();
  });

  it('of a client that does not read waits, and goes on when it does', async () => {
    const { app, port } = await listening();
    const connection = watch(port, 'key=a');
    await connection.until(/progress/);
    connection.socket.pause();
    const value = 'v'.repeat(1_000);
    const count = 20_000;
    const before = process.memoryUsage().rss;
    for (let number = 0; number < count; number += 1) await put(app, 'a', value);
    // All of it would be 20 MB in this process a second time, beside what the state holds in any case.
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1024 * 1024);
    connection.socket.resume();
    while (
      !connection.received.endsWith('\n\n\r\n') ||
      !connection.received.includes(`id: ${count}-0`, connection.received.length - 10_000)
    ) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const ids = [...connection.received.matchAll(/id: (\d+)-0\n/g)].map(([, revision]) => Number(revision));
    expect(ids).toEqual(Array.from({ length: count }, (_, at) => at + 1));
    connection.socket.destroy();
    await app.close();
  }, 60_000);

  it('that comes back far behind takes its part of a turn of the event loop, and so do many of them', async () => {
    const { app, port } = await listening({ valueBytesMax: 100_000 });
    const sockets: Socket[] = [];
    app.server.on('connection', (socket) => sockets.push(socket));
    for (let number = 0; number < 60; number += 1) await put(app, 'a', 'v'.repeat(64 * 1024));
    const connections = Array.from({ length: 4 }, () => watch(port, 'key=a&fromRevision=1'));
    for (const connection of connections) connection.socket.removeAllListeners('data').resume();
    const expected = connections.length * 60 * 64 * 1024;
    let written = 0;
    let most = 0;
    while (written < expected) {
      await new Promise((resolve) => setImmediate(resolve));
      const now = sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0);
      most = Math.max(most, now - written);
      written = now;
    }
    // What a turn gives, and what the last one in it may take beyond that; the test's own turn may fall between two.
    expect(most).toBeLessThan(2 * (1024 + 256) * 1024);
    for (const connection of connections) connection.socket.destroy();
    await app.close();
  });

  it('of a reader that takes nothing holds what others hold, too, and no copy', async () => {
    const events = [1, 2, 3].map((revision) => ({
      revision,
      number: 0,
      kind: 'delete' as const,
      key: Buffer.from('a'),
      item: undefined,
      previousRevision: 0,
    }));
    const streams = new WatchStreams(new ByteBudget(), () => {});
    const open = () => {
      const written: unknown[] = [];
      const response = Object.assign(new EventEmitter(), {
        writableNeedDrain: false,
        cork: () => {},
        uncork: () => {},
        write: (chunk: unknown) => written.push(chunk) > 0,
      });
      const read = vi.fn(() => new Promise<typeof events>(() => {})).mockResolvedValueOnce(events);
      const watcher = {
        settledThrough: undefined,
        read,
        taken: () => {},
        holdsPast: false,
        previousOf: () => undefined,
        close: () => {},
      };
      const after = { revision: 0, number: Number.POSITIVE_INFINITY };
      const options = { format: serverSentEvents, withPrevious: false, after };
      streams.open(response as unknown as ServerResponse, watcher, options, new AbortController().signal);
      return { response, written };
    };
    const [one, other] = [open(), open()];
    await new Promise((resolve) => setImmediate(resolve));
    expect(one.written).toHaveLength(1 + events.length);
    for (const [at, chunk] of one.written.slice(1).entries()) expect(chunk).toBe(other.written[at + 1]);
    for (const { response } of [one, other]) response.emit('close');
  });
});
