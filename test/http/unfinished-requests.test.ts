import type { FastifyInstance } from 'fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/http/openapi.js';
import { listen, RawConnection, type Served, serve } from './kit.js';

const open: FastifyInstance[] = [];

async function listening(): Promise<Served & { port: number }> {
  const served = serve({ closeGraceMs: 500 });
  open.push(served.app);
  return { ...served, port: await listen(served.app) };
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((app) => app.close()));
});

const statuses = (received: string) => received.match(/HTTP\/1\.1 \d+/g)?.map((line) => line.slice(9));

/** What a request for each changing route begins with, so that its handler would act. */
const queries: Readonly<Record<string, string>> = {
  'post /v1/kv/{key}': '?add=1',
  'delete /v1/kv': '?prefix=a',
  'delete /v1/locks/{name}': '?token=1',
};
const changes = Object.entries(openApiDocument.paths).flatMap(([path, operations]) =>
  Object.keys(operations)
    .filter((method) => method !== 'get')
    .map((method) => {
      const target = path.replace(/\{[^}]*\}/, '1') + (queries[`${method} ${path}`] ?? '');
      return `${method.toUpperCase()} ${target}`;
    }),
);
/** Those that use no content. */
const withoutContent = [
  'POST /v1/kv/1?add=1',
  'DELETE /v1/kv/1',
  'DELETE /v1/kv?prefix=a',
  'DELETE /v1/leases/1',
  'DELETE /v1/members/1',
  'POST /v1/members/1/promote',
  'PUT /v1/cluster-version/hold',
  'DELETE /v1/cluster-version/hold',
];

describe.each(changes)('%s', (line) => {
  it.each([
    ['a chunk is malformed', 'Transfer-Encoding: chunked', 'ZZ\r\n', '400'],
    ['a later chunk is malformed', 'Transfer-Encoding: chunked', '1\r\n{\r\nZZ\r\n', '400'],
    ['the last chunk is missing', 'Transfer-Encoding: chunked', '1\r\n{\r\n', '400'],
    ['its end is missing', 'Content-Length: 2', '{', '400'],
    ['the coding is unknown', 'Transfer-Encoding: gzip', 'x', '501'],
    ['the coding is the obsolete one', 'Transfer-Encoding: identity', '', '501'],
    ['one of two codings is unknown', 'Transfer-Encoding: gzip, chunked', '2\r\n{}\r\n0\r\n\r\n', '501'],
    ['the coding has a parameter', 'Transfer-Encoding: chunked;q=1', '2\r\n{}\r\n0\r\n\r\n', '501'],
  ])('is refused once and changes nothing where %s', async (_, header, content, status) => {
    const { port, node } = await listening();
    const { revision } = node.position();
    const connection = new RawConnection(port);
    connection.send(`${line} HTTP/1.1\r\nHost: h\r\n${header}\r\n\r\n${content}`);
    connection.socket.end();
    expect(statuses(await connection.untilEnd())).toEqual([status]);
    expect(node.calls).toEqual([]);
    expect(node.position().revision).toBe(revision);
  });
});

it.each(withoutContent)('%s acts although it has content, once that is whole', async (line) => {
  const { port, node } = await listening();
  const connection = new RawConnection(port);
  connection.send(`${line} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n`);
  const other = new RawConnection(port);
  other.send('GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n');
  await other.until(/"alive"/);
  expect(node.calls).toEqual([]);
  connection.send('0\r\n\r\n');
  await connection.until(/^HTTP\/1\.1 \d+ /);
  expect(node.calls).toHaveLength(1);
});

it('what waits for content that is not used has as much less time for the change', async () => {
  const { port, node } = await listening();
  const connection = new RawConnection(port);
  connection.send(
    'DELETE /v1/kv/a?timeout=1h HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n',
  );
  await connection.until(/100 Continue/);
  await new Promise((resolve) => setTimeout(resolve, 20));
  connection.send('x');
  await connection.until(/404 Not Found/);
  const [, timeoutMs] = /^write delete (\d+)$/.exec(node.calls[0] ?? '') ?? [];
  expect(Number(timeoutMs)).toBeLessThan(3_600_000);
});

describe('a refusal at once', () => {
  it.each([
    ['POST /v1/members?x=1', 'Transfer-Encoding: chunked', 'ZZ\r\n', '400'],
    ['PUT /v1/nothing', 'Transfer-Encoding: chunked', 'ZZ\r\n', '404'],
    ['GET /v1/kv/a', 'Transfer-Encoding: gzip', 'x', '501'],
    ['GET /healthz', 'Transfer-Encoding: gzip, chunked', '0\r\n\r\n', '501'],
  ])('reaches the client although the rest is malformed (%s, %s)', async (line, header, content, status) => {
    const { port } = await listening();
    const connection = new RawConnection(port);
    connection.send(`${line} HTTP/1.1\r\nHost: h\r\n${header}\r\n\r\n${content}`);
    const received = await connection.untilEnd();
    expect(statuses(received)).toEqual([status]);
    expect(received).toMatch(/"code":".*}$/);
  });

  it('is the only answer where the rest of the request never comes', async () => {
    const { port, node } = await listening();
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://leader:1' };
    const connection = new RawConnection(port);
    connection.send('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n');
    await connection.until(/not_leader.*}$/);
    connection.socket.end('x');
    expect(statuses(await connection.untilEnd())).toEqual(['307']);
  });
});
