import { Buffer } from 'node:buffer';
import { createServer, type Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { endWith, writeHead } from '../../src/http/response-writes.js';
import { RawConnection } from './kit.js';

const ownLines = 'Raftkv-Revision: 7\r\nRaftkv-Node: n1\r\nCache-Control: no-store\r\n';
const headers = ['Content-Type', 'text/plain', 'ETag', '"7"'];

/** A response whose headers go the long way, since it is not Node's own. */
class OtherResponse extends ServerResponse {}
Object.defineProperty(OtherResponse.prototype, 'writeHead', {
  value(this: ServerResponse, ...parameters: [number, string[]]) {
    return ServerResponse.prototype.writeHead.apply(this, parameters as never);
  },
});

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

interface Answering {
  readonly connection: RawConnection;
  /** How often the server wrote to the connection: one piece, or several pieces at once. */
  readonly writes: () => { readonly one: number; readonly several: number };
}

async function answering(
  body: Buffer | string | null,
  { status = 200, Response = ServerResponse }: { status?: number; Response?: typeof ServerResponse } = {},
): Promise<Answering> {
  const server = createServer({ ServerResponse: Response }, (_, response) => {
    const length = body === null ? [] : ['Content-Length', String(Buffer.byteLength(body))];
    writeHead(response, status, ownLines, [...headers, ...length]);
    if (body === null) response.end();
    else endWith(response, body, Buffer.byteLength(body) === body.length);
  });
  servers.push(server);
  const spies = { one: vi.fn(), several: vi.fn() };
  server.on('connection', (socket: Socket) => {
    spies.one = vi.spyOn(socket, '_write') as never;
    spies.several = vi.spyOn(socket as Required<Socket>, '_writev') as never;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const connection = new RawConnection((server.address() as AddressInfo).port);
  return {
    connection,
    writes: () => ({ one: spies.one.mock.calls.length, several: spies.several.mock.calls.length }),
  };
}

async function answerOf(
  request: string,
  body: Buffer | string | null,
  options: Parameters<typeof answering>[1],
): Promise<string> {
  const { connection } = await answering(body, options);
  connection.send(request);
  const text = await connection.until(body === null || request.startsWith('HEAD') ? /\r\n\r\n$/ : /ello$/);
  connection.socket.destroy();
  return text.replace(/Date: [^\r]*/, 'Date: then');
}

describe('an answer', () => {
  it.each([
    ['200', 'GET / HTTP/1.1\r\nHost: h\r\n\r\n', 200, 'hello'],
    ['201, closing', 'PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n', 201, 'hello'],
    ['404 of HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 404, Buffer.from('hello')],
    ['200 to HEAD', 'HEAD / HTTP/1.1\r\nHost: h\r\n\r\n', 200, 'hello'],
    ['503', 'GET / HTTP/1.1\r\nHost: h\r\n\r\n', 503, 'hello'],
    ['204', 'GET / HTTP/1.1\r\nHost: h\r\n\r\n', 204, null],
    ['304', 'GET / HTTP/1.1\r\nHost: h\r\n\r\n', 304, null],
  ] as const)('is the same whichever way its headers went: %s', async (_, request, status, body) => {
    const short = await answerOf(request, body, { status });
    const long = await answerOf(request, body, {
      status,
      Response: OtherResponse as typeof ServerResponse,
    });
    expect(short).toBe(long);
    expect(short).toContain(`\r\n${ownLines}`);
  });

  it.each([
    ['text', 'hello'],
    ['text beyond ASCII', 'grüße, ello'],
    ['a small value', Buffer.from('\xffello', 'latin1')],
  ])('leaves in one plain write: %s', async (_, body) => {
    const { connection, writes } = await answering(body);
    connection.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n');
    const received = await connection.until(/ello$/);
    expect(received.endsWith(Buffer.from(body).toString('latin1'))).toBe(true);
    expect(writes()).toEqual({ one: 1, several: 0 });
    connection.socket.destroy();
  });

  it('comes whole and in order where the client takes it slowly and has asked again', async () => {
    const body = Buffer.alloc(4 * 1024 * 1024, 'abcdefghijklmnopqrstuvwxyz');
    const end = body.subarray(-100).toString('latin1');
    const { connection } = await answering(body);
    connection.socket.pause();
    connection.send('GET / HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(3));
    await new Promise((resolve) => setTimeout(resolve, 50));
    connection.socket.resume();
    while (connection.received.length < 3 * body.length || !connection.received.endsWith(end)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const bodies = connection.received.split(/HTTP\/1\.1 200 OK[\s\S]*?\r\n\r\n/).slice(1);
    expect(bodies.map((text) => text === body.toString('latin1'))).toEqual([true, true, true]);
    connection.socket.destroy();
  });
});
