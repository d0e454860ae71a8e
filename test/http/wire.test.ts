import { Buffer } from 'node:buffer';
import { once } from 'node:events';
import { Agent, METHODS, type RequestOptions, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import type { FastifyInstance } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { abandonApp } from '../../src/http/app.js';
import { listen, RawConnection, type Served, serve } from './kit.js';

const open: FastifyInstance[] = [];

async function listening(options: Parameters<typeof serve>[0] = {}): Promise<Served & { port: number }> {
  const served = serve({ closeGraceMs: 500, ...options });
  open.push(served.app);
  return { ...served, port: await listen(served.app) };
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`;

describe('on the socket', () => {
  it('takes keys of any bytes, keeps dots, and repeats both in a redirect', async () => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send('PUT /v1/kv/a/../%FF HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
    await connection.until(/created":true}/);
    expect(node.get(Buffer.from('a/../\xff', 'latin1'), undefined)).toBeDefined();
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://leader:1' };
    connection.send(get('/v1/kv/a/../%fF?timeout=1s'));
    await connection.until(/Location: http:\/\/leader:1\/v1\/kv\/a\/\.\.\/%fF\?timeout=1s\r\n/);
  });

  it.each(['PUT', 'GET', 'DELETE'])(
    'takes no other spelling of the path of keys for a key (%s)',
    async (method) => {
      const { port, node } = await listening();
      const connection = new RawConnection(port);
      for (const path of ['/v1/%6Bv/key', '/%761/kv/key']) {
        connection.send(`${method} ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n`);
        await connection.until(/404 Not Found[\s\S]*"code":"not_found".*}$/);
        connection.received = '';
      }
      expect(node.calls).toEqual([]);
    },
  );

  it('understands a target in absolute form', async () => {
    const { port } = await listening();
    const connection = new RawConnection(port);
    connection.send(get('http://h/v1/kv/a'));
    await connection.until(/key_not_found/);
    connection.send(get('http://h'));
    await connection.until(/"not_found"/);
  });

  it('answers pipelined requests in their order', async () => {
    const { port } = await listening();
    const connection = new RawConnection(port);
    const put = 'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello';
    connection.send(put + get('/v1/kv/b') + get('/v1/kv') + get('/healthz'));
    const received = await connection.until(/(?:HTTP\/1\.1 [\s\S]*){4}"alive"/);
    expect(received.match(/HTTP\/1\.1 \d+/g)?.map((line) => line.slice(9))).toEqual([
      '201',
      '404',
      '200',
      '200',
    ]);
  });

  it('is not held up when it closes by connections that have sent nothing', async () => {
    // Longer than this test may take: it ends only if nobody waits for them.
    const { app, port } = await listening({ closeGraceMs: 3_600_000 });
    const silent = new RawConnection(port);
    const used = new RawConnection(port);
    used.send(get('/healthz'));
    await used.until(/"alive"/);
    await app.close();
    await Promise.all([silent.untilEnd(), used.untilEnd()]);
  });

  it('is not held up when it is abandoned by clients that have sent a part of a request', async () => {
    const { app, port } = await listening({ closeGraceMs: 3_600_000 });
    const parts = ['GET /v1/kv/a HT', 'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx'];
    const connections = parts.map((part) => {
      const connection = new RawConnection(port);
      connection.send(get('/healthz') + part);
      return connection;
    });
    for (const connection of connections) await connection.until(/"alive"/);
    await abandonApp(app);
    for (const connection of connections) await connection.untilEnd();
  });

  it('refuses everything but /healthz and /metrics where it is made to, and hangs up on an event source', async () => {
    const refusal = new RaftkvError('not_ready', 'This node waits.', { reason: 'waiting' });
    const { port, node } = await listening({ refusal });
    const answered = async (text: string) => {
      const connection = new RawConnection(port);
      connection.send(text);
      await connection.untilEnd();
      return connection.received;
    };
    expect(await answered(get('/healthz'))).toMatch(/^HTTP\/1\.1 200 /);
    expect(await answered(get('/metrics'))).toMatch(/^HTTP\/1\.1 200 /);
    for (const path of ['/readyz', '/v1/kv/a', '/v1/status']) {
      const refused = await answered(get(path));
      expect(refused).toMatch(/^HTTP\/1\.1 503 [\s\S]*"code":"not_ready"/);
      expect(refused).toContain('"reason":"waiting"');
    }
    const events = 'GET /v1/watch HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n';
    expect(await answered(events)).toBe('');
    expect(node.calls).toEqual([]);
  });

  it('sends no body after HEAD, so that the next answer is found', async () => {
    const { port } = await listening();
    const connection = new RawConnection(port);
    connection.send(`HEAD /v1/kv/a HTTP/1.1\r\nHost: h\r\n\r\n${get('/healthz')}`);
    const received = await connection.until(/"alive"/);
    expect(received).not.toContain('key_not_found');
  });

  it('takes chunked bodies', async () => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    connection.send('2\r\nde\r\n0\r\n\r\n');
    await connection.until(/201 Created/);
    expect(Buffer.from(node.get(Buffer.from('a'), undefined)?.value ?? []).toString()).toBe('abcde');
  });

  it.each([
    ['garbage\r\n\r\n'],
    ['GET / HTTP/9.9\r\n\r\n'],
    ['PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n'],
    ['PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['GET /v1/kv/a b HTTP/1.1\r\nHost: h\r\n\r\n'],
    ['\x16\x03\x01\x02\x00'],
    ['GET /v1/kv/\xff HTTP/1.1\r\nHost: h\r\n\r\n'],
  ])('answers 400 to %j and closes', async (text) => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send(text);
    const received = await connection.untilEnd();
    expect(received).toMatch(/^HTTP\/1\.1 400 /);
    expect(node.calls).toEqual([]);
  });

  it('answers 400 to HTTP/1.1 without a Host header, as to any other mistake', async () => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send('GET /v1/kv/a HTTP/1.1\r\n\r\n');
    const received = await connection.until(/"code":"bad_request"/);
    expect(received).toMatch(/^HTTP\/1\.1 400 [\s\S]*Raftkv-Node: n1\r\n/);
    expect(node.calls).toEqual([]);
    const older = new RawConnection(port);
    older.send('GET /healthz HTTP/1.0\r\n\r\n');
    expect(await older.untilEnd()).toMatch(/ 200 OK/);
  });

  it.each(['GET /v1/kv#x', 'DELETE /v1/kv#x?prefix=a', 'DELETE /v1/kv?prefix=a#x', 'GET /healthz#x'])(
    'takes a "#" for a mistake, not for the end of the path: %s',
    async (line) => {
      const { port, node } = await listening();
      const connection = new RawConnection(port);
      connection.send(`${line} HTTP/1.1\r\nHost: h\r\n\r\n`);
      expect(await connection.until(/"code":".*}$/)).toMatch(/^HTTP\/1\.1 400 /);
      expect(node.calls).toEqual([]);
    },
  );

  // CONNECT comes as no request, see below.
  it.each(METHODS.filter((method) => method !== 'CONNECT'))(
    'answers %s with a problem document where there is nothing for it',
    async (method) => {
      const { port } = await listening();
      for (const headers of ['', 'Content-Length: 2\r\n', 'Content-Length: 2\r\nContent-Type: x\r\n']) {
        const connection = new RawConnection(port);
        const body = headers === '' ? '' : '{}';
        connection.send(
          `${method} /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${headers}\r\n${body}`,
        );
        const received = await connection.untilEnd();
        expect(received).toMatch(/^HTTP\/1\.1 404 [\s\S]*Raftkv-Node: n1\r\n/);
        if (method !== 'HEAD') expect(received).toContain('"code":"not_found"');
      }
    },
  );

  it('answers 405 to CONNECT, which Node would leave without an answer', async () => {
    const { port } = await listening();
    const connection = new RawConnection(port);
    connection.send('CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n');
    const answer = await connection.untilEnd();
    expect(answer).toMatch(/^HTTP\/1.1 405 Method Not Allowed\r\n[\s\S]*\r\nAllow:\r\n/);
    expect(answer).toContain('"code":"method_not_allowed"');
  });

  it('answers 405 to CONNECT only after the requests before it', async () => {
    const { port, node } = await listening();
    let release = (): void => {};
    node.writeGate = new Promise((resolve) => {
      release = resolve;
    });
    const connection = new RawConnection(port);
    connection.send('DELETE /v1/kv/a HTTP/1.1\r\nHost: h\r\n\r\nCONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n');
    while (node.calls.length < 1) await new Promise(setImmediate);
    release();
    const answers = await connection.untilEnd();
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 405']);
  });

  it('survives a client that breaks its connection behind CONNECT', async () => {
    const { app, port, node } = await listening();
    let isClosed = false;
    app.server.on('connection', (socket) => socket.on('close', () => (isClosed = true)));
    node.writeGate = new Promise(() => {});
    const connection = new RawConnection(port);
    connection.send('DELETE /v1/kv/a HTTP/1.1\r\nHost: h\r\n\r\nCONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n');
    while (node.calls.length < 1) await new Promise(setImmediate);
    connection.socket.resetAndDestroy();
    while (!isClosed) await new Promise(setImmediate);
  });

  it('answers 431 to headers that are too large', async () => {
    const { port } = await listening();
    const connection = new RawConnection(port);
    connection.send(`GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`);
    expect(await connection.untilEnd()).toMatch(/^HTTP\/1\.1 431 [\s\S]*"code":"bad_request"/);
  });

  it('says nothing to a client that goes away in the middle of a body', async () => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc');
    await new Promise((resolve) => setTimeout(resolve, 30));
    connection.socket.destroy();
    const other = new RawConnection(port);
    other.send(get('/healthz'));
    await other.until(/"alive"/);
    expect(node.calls).toEqual([]);
  });
});

describe('what is no request, after requests', () => {
  const put = (key: string) => `PUT /v1/kv/${key} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx`;
  const statuses = (received: string) => received.match(/HTTP\/1\.1 \d+/g)?.map((line) => line.slice(9));

  it('is answered after them, and then the connection ends', async () => {
    const { port, node } = await listening();
    let release = (): void => {};
    node.writeGate = new Promise((resolve) => {
      release = resolve;
    });
    const connection = new RawConnection(port);
    connection.send(`${put('a')}${put('b')}junk\r\n\r\n`);
    connection.send('more junk\r\n\r\n');
    while (node.calls.length < 2) await new Promise(setImmediate);
    expect(connection.received).toBe('');
    release();
    expect(statuses(await connection.untilEnd())).toEqual(['201', '201', '400']);
  });

  it('is not answered after an answer that ends the connection', async () => {
    const { port } = await listening();
    const connection = new RawConnection(port);
    const last = 'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx';
    connection.send(`${last}junk\r\n\r\n`);
    expect(statuses(await connection.untilEnd())).toEqual(['201']);
  });

  it('and never whole is answered once, where a part of it was refused already', async () => {
    const { port } = await listening();
    const connection = new RawConnection(port);
    connection.send('POST /nowhere HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n');
    await connection.until(/not_found.*}$/);
    connection.send('junk\r\n');
    expect(statuses(await connection.untilEnd())).toEqual(['404']);
  });

  it('does not cut its answer short when more of the same arrives behind it', async () => {
    const { app, port } = await listening();
    const accepted = once(app.server, 'connection');
    const client = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    const [served] = (await accepted) as [Socket];
    client.write('junk\r\n\r\n');
    client.resume();
    await once(client, 'end');
    const { bytesRead } = served;
    client.write('more junk\r\n\r\n');
    while (served.bytesRead === bytesRead) await new Promise(setImmediate);
    expect(served.destroyed).toBe(false);
    client.destroy();
  });

  it('ends with the connection when the client does not wait for the answers before it', async () => {
    const { port, node } = await listening();
    node.writeGate = new Promise(() => {});
    const connection = new RawConnection(port);
    connection.send(`${put('a')}junk\r\n\r\n`);
    while (node.calls.length < 1) await new Promise(setImmediate);
    connection.socket.resetAndDestroy();
    await connection.untilEnd();
  });
});

it('no header is lost, however many there are', async () => {
  const { port } = await listening();
  const connection = new RawConnection(port);
  const many = Array.from({ length: 3_000 }, (_, number) => `X-${number}: y\r\n`).join('');
  connection.send(`PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\n${many}If-Match: "9"\r\nContent-Length: 1\r\n\r\nx`);
  await connection.until(/^HTTP\/1\.1 412 /);
});

describe('bodies that do not arrive', () => {
  it.each([
    ['PUT', '/v1/kv/a'],
    ['POST', '/v1/members'],
    ['POST', '/v1/leader'],
  ])('are waited for no longer than the timeout says (%s %s)', async (method, path) => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send(`${method} ${path}?timeout=100ms HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{`);
    const received = await connection.until(/request_timeout/);
    expect(received).toMatch(/^HTTP\/1\.1 408 [\s\S]*Connection: close/);
    // What comes now is too late to be taken for the rest of the request.
    connection.send('}');
    await connection.untilEnd();
    expect(node.calls).toEqual([]);
  });

  it('leave to the write what they did not take', async () => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send(
      'PUT /v1/kv/a?timeout=1h HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n',
    );
    // The time runs from here on.
    await connection.until(/100 Continue/);
    await new Promise((resolve) => setTimeout(resolve, 200));
    connection.send('xx');
    await connection.until(/201 Created/);
    const [, timeoutMs] = /^write put (\d+)$/.exec(node.calls[0] ?? '') ?? [];
    expect(Number(timeoutMs)).toBeLessThan(3_599_900);
  });
});

describe('bodies that are not wanted', () => {
  const expecting = 'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n';

  it('asks for the body of Expect: 100-continue only when it will be used', async () => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send(expecting);
    await connection.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
    connection.send('abc');
    await connection.until(/201 Created/);
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://leader:1' };
    const redirected = new RawConnection(port);
    redirected.send(expecting);
    const received = await redirected.until(/not_leader/);
    expect(received).toMatch(/^HTTP\/1\.1 307 /);
    expect(received).toContain('Connection: close');
  });

  it.each(['100-continue, x', 'x,100-Continue', '100-continue;q=1'])(
    'recognizes the expectation beside others: %s',
    async (expectation) => {
      const { port } = await listening();
      const asked = expecting.replace('100-continue', expectation);
      const connection = new RawConnection(port);
      connection.send(asked);
      await connection.until(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
      connection.send('abc');
      await connection.until(/201 Created/);
      // What is refused before its content was asked for is followed by that content, or by another request: nobody can tell.
      const refused = new RawConnection(port);
      refused.send(asked.replace('Expect:', 'If-Match: nonsense\r\nExpect:'));
      expect(await refused.untilEnd()).toMatch(/^HTTP\/1\.1 400 (?:.|\r\n)*\r\nConnection: close\r\n/);
    },
  );

  it('keeps the connection after a redirect of a small body', async () => {
    const { port, node } = await listening();
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://leader:1' };
    const connection = new RawConnection(port);
    connection.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n');
    await connection.until(/not_leader/);
    connection.send(`abc${get('/healthz')}`);
    await connection.until(/"alive"/);
  });

  it.each([['gzip, chunked'], ['gzip,chunked'], ['x, chunked']])(
    'refuses a body in transfer codings that it does not take off (%s)',
    async (codings) => {
      const { port, node } = await listening();
      for (const target of ['PUT /v1/kv/a', 'POST /v1/txn']) {
        const connection = new RawConnection(port);
        connection.send(
          `${target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: ${codings}\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
        );
        const received = await connection.untilEnd();
        expect(received).toMatch(/^HTTP\/1\.1 501 .*transfer_coding_unsupported/s);
        expect(received).toContain('Connection: close');
      }
      expect(node.get(Buffer.from('a'), undefined)).toBeUndefined();
    },
  );

  it('takes chunks, in whatever case they are announced', async () => {
    const { port, node } = await listening();
    const connection = new RawConnection(port);
    connection.send(
      'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
    );
    await connection.until(/created":true}/);
    expect(node.get(Buffer.from('a'), undefined)).toBeDefined();
  });

  it.each([
    ['a length', 'Content-Length: 500000', ''],
    ['chunks', 'Transfer-Encoding: chunked', '7a120\r\n'],
  ])(
    'answers at once to a body that is too large (%s), and the client can read it',
    async (_, header, start) => {
      const { port } = await listening({ valueBytesMax: 1_000 });
      const connection = new RawConnection(port);
      connection.send(`PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\n${header}\r\n\r\n${start}`);
      for (let sent = 0; sent < 500_000; sent += 50_000) connection.send(Buffer.alloc(50_000));
      const received = await connection.until(/value_too_large/);
      expect(received).toMatch(/^HTTP\/1\.1 413 /);
      expect(received).toContain('Connection: close');
    },
  );
});

describe('closing', () => {
  it('answers what was accepted, refuses what still comes, and completes', async () => {
    const { app, port, node } = await listening();
    let release = (): void => {};
    node.writeGate = new Promise((resolve) => {
      release = resolve;
    });
    const idle = new RawConnection(port);
    idle.send(get('/healthz'));
    await idle.until(/"alive"/);
    const busy = new RawConnection(port);
    busy.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
    while (!node.calls.some((call) => call.startsWith('write'))) await new Promise(setImmediate);
    const closed = app.close();
    await idle.untilEnd();
    busy.send(get('/v1/kv/a') + get('/healthz'));
    await new Promise((resolve) => setTimeout(resolve, 50));
    release();
    expect(await busy.untilEnd()).toMatch(/^HTTP\/1\.1 201 [\s\S]*Connection: close/);
    await closed;
  });

  it('cuts what does not end within the grace period', async () => {
    const { app, port, node } = await listening({ closeGraceMs: 50 });
    node.writeGate = new Promise(() => {});
    const busy = new RawConnection(port);
    busy.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx');
    while (!node.calls.some((call) => call.startsWith('write'))) await new Promise(setImmediate);
    await app.close();
    await busy.untilEnd();
  });
});

describe('garbage', () => {
  const fragment = fc.oneof(
    fc.constantFrom(
      '/v1/kv/',
      '/v1/kv',
      '?prefix=',
      '?',
      '&',
      '=',
      '%FF',
      '%',
      '#',
      '..',
      '/v1/members/',
      ';',
    ),
    fc.constantFrom('limit=', 'cursor=', 'revision=', 'timeout=', '0', '1', '-', 'true', 'stale', '\\', '"'),
    fc.stringMatching(/^[\x21-\x7e]{0,6}$/),
  );
  const headers = fc.dictionary(
    fc.constantFrom(
      'if-match',
      'if-none-match',
      'content-type',
      'idempotency-key',
      'content-encoding',
      'expect',
    ),
    fc.stringMatching(/^[\x21-\x7e]{0,12}$/),
  );

  it('in a request is never answered with 5xx, and always with a problem document', async () => {
    const { port } = await listening();
    const agent = new Agent({ keepAlive: true });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS', 'PROPFIND'),
        fc.array(fragment, { maxLength: 6 }),
        headers,
        fc.uint8Array({ maxLength: 40 }),
        async (method, parts, fields, body) => {
          const path = `/${parts.join('')}`;
          const answer = await ask({ agent, port, method, path, headers: fields }, body);
          expect(answer.status).toBeLessThan(500);
          if (answer.status >= 400 && method !== 'HEAD') {
            expect(JSON.parse(answer.body)).toMatchObject({ status: answer.status });
          }
        },
      ),
      { numRuns: 1_500 },
    );
    agent.destroy();
  });

  it('on the socket does not disturb the server', async () => {
    const { port } = await listening();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
        const connection = new RawConnection(port);
        connection.socket.end(bytes);
        expect(await connection.untilEnd()).toMatch(/^($|HTTP\/1\.1 400 )/);
      }),
      { numRuns: 100 },
    );
  });
});

function ask(options: RequestOptions, content: Uint8Array): Promise<{ status: number; body: string }> {
  const body = options.method === 'GET' || options.method === 'HEAD' ? new Uint8Array() : content;
  const headers = { ...options.headers, 'content-length': String(body.length) };
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', ...options, headers }, (incoming) => {
      let text = '';
      incoming.on('data', (chunk) => {
        text += chunk;
      });
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body: text }));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
