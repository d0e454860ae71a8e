import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/http/openapi.js';
import { listen, RawConnection, serve } from './kit.js';

/** Together, ten thousand. */
const REQUESTS = 8_000;
const CONNECTIONS = 2_000;

/** A watch that succeeds has no end. */
const paths = Object.keys(openApiDocument.paths).filter((path) => path !== '/v1/watch');
const methods = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS'] as const;

/** The revision that `aNodeWithAKey` has reached. */
const REVISION = 1;

/** A request for a revision that the node has not reached waits for it, and is rightly answered with 503 in the end. */
const waits = (search: string): boolean => {
  // What follows a '#' is not sent.
  const given = new URLSearchParams(search.replace(/#.*/s, ''));
  return ['minRevision', 'revision'].some((name) =>
    given.getAll(name).some((value) => Number(value) > REVISION),
  );
};

/** Parts of requests as they should be, and as they should not. */
const segment = fc.oneof(
  fc.constantFrom(
    'a',
    'n1',
    '1',
    '0',
    '-1',
    '%',
    '%zz',
    '%00',
    '%FF',
    '%2F',
    '..',
    '.raftkv/locks/a',
    '#',
    ' ',
    '?',
  ),
  fc
    .uint8Array({ maxLength: 12 })
    .map((raw) => Array.from(raw, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')),
  fc.string({ unit: 'grapheme-ascii', maxLength: 20 }),
);
const path = fc
  .tuple(fc.constantFrom(...paths, '/', '/v1', '/v1/kv/', '/v1/nothing'), segment)
  .map(([pattern, filled]) => pattern.replace(/\{[^}]*\}/, filled.replaceAll(/[\r\n]/g, '')));
const query = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        ...[
          'timeout',
          'redirect',
          'consistency',
          'minRevision',
          'revision',
          'prefix',
          'limit',
          'cursor',
          'keysOnly',
        ],
        ...['ttl', 'lease', 'plan', 'force', 'token', 'after', 'unknown', '', '%'],
      ),
      fc.oneof(
        segment,
        fc.constantFrom('true', 'never', '5s', '20ms', 'stale', '18446744073709551616', '1e3', ''),
      ),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join('&'))
  .filter((search) => !waits(search));
const word = fc.constantFrom(
  ...[
    'key',
    'keyBase64',
    'value',
    'valueBase64',
    'prefix',
    'lease',
    'compare',
    'success',
    'failure',
    'put',
    'get',
  ],
  ...['delete', 'target', 'op', 'exists', 'ttlSeconds', 'token', 'id', 'peer', 'members', 'to', '__proto__'],
);
const { json } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 5 },
    word,
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.string({ maxLength: 5 }),
    fc.array(tie('json'), { maxLength: 3 }),
    fc.array(fc.tuple(word, tie('json')), { maxLength: 4 }).map((pairs) => Object.fromEntries(pairs)),
  ),
}));
const body = fc.oneof(
  fc.constant(''),
  json.map((value) => JSON.stringify(value)),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constant('x'.repeat(2_000)),
);
const headers = fc.dictionary(
  fc.constantFrom(
    'if-match',
    'if-none-match',
    'content-type',
    'idempotency-key',
    'content-encoding',
    'accept',
    'expect',
  ),
  fc.oneof(
    fc.constantFrom('*', '"1"', 'W/"1"', 'gzip', 'text/plain', ''),
    fc.string({ unit: 'grapheme-ascii', maxLength: 10 }),
  ),
  { maxKeys: 2 },
);

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((raw) => Buffer.from(raw).toString('latin1')),
  fc
    .tuple(fc.constantFrom(...methods, 'put', ''), path, query, body, fc.integer({ min: -5, max: 60 }))
    .map(
      ([method, target, search, content, length]) =>
        `${method} ${target}?${search} HTTP/1.1\r\nHost: h\r\nContent-Length: ${length}\r\n\r\n${content}`,
    ),
  fc.constantFrom(
    'GET /v1/kv/a HTTP/9.9\r\n\r\n',
    'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    'PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'GET /v1/kv/a HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    `GET /${'a'.repeat(70_000)} HTTP/1.1\r\nHost: h\r\n\r\n`,
  ),
);

const aNodeWithAKey = async () => {
  const served = serve();
  await served.app.inject({ method: 'PUT', url: '/v1/kv/a' });
  expect(served.node.position().revision).toBe(REVISION);
  return served;
};

describe('requests from a generator', () => {
  it(`of ${REQUESTS}, none is answered with 5xx, and what is refused changes nothing`, async () => {
    const { app, node } = await aNodeWithAKey();
    const request = fc.record({ method: fc.constantFrom(...methods), path, query, headers, payload: body });
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path: target, query: search, headers: given, payload }) => {
        const { revision } = node.position();
        const answer = await app.inject({
          method,
          url: `${target}?${search}`,
          headers: given,
          payload,
        });
        expect(answer.statusCode, answer.body).toBeLessThan(500);
        if (answer.statusCode < 400) return;
        expect(node.position().revision).toBe(revision);
        if (method === 'HEAD') return;
        expect(JSON.parse(answer.body)).toMatchObject({
          status: answer.statusCode,
          code: expect.any(String),
        });
      }),
      { numRuns: REQUESTS },
    );
    expect((await app.inject('/healthz')).statusCode).toBe(200);
  }, 120_000);

  it(`as bytes on ${CONNECTIONS} sockets, none is answered with 5xx or brings the server down`, async () => {
    const { app } = await aNodeWithAKey();
    const port = await listen(app);
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        const connection = new RawConnection(port);
        connection.send(sent);
        connection.socket.end();
        expect(await connection.untilEnd()).not.toMatch(/^HTTP\/1\.1 5/m);
      }),
      { numRuns: CONNECTIONS },
    );
    expect((await app.inject('/healthz')).statusCode).toBe(200);
    await app.close();
  }, 120_000);
});
