import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Server } from 'node:net';

/** What may listen where a peer was expected. */
export const notPeers: Readonly<Record<string, () => Server>> = {
  'a web server': () => createHttpServer((_, response) => response.end('hello')),
  'something that hangs up': () => createServer((socket) => socket.on('error', () => {}).resetAndDestroy()),
  'a web server that speaks HTTP/2': () =>
    http2((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/html' });
      stream.end('<html>');
    }),
  'a gateway': () =>
    http2((stream) => {
      stream.respond({ ':status': 502 });
      stream.end('bad gateway');
    }),
  'what resets streams': () => http2((stream) => stream.close(2)),
  'what has had enough': () => http2((stream) => stream.close(11)),
  'what sends bytes that are no message': () =>
    http2((stream) => answer(stream, [0, 0, 0, 0, 3, 255, 255, 255])),
  'what announces a message that is too large': () =>
    http2((stream) => answer(stream, [0, 255, 255, 255, 255, 1])),
  'another service': () =>
    http2((stream) => {
      const headers = { 'grpc-status': '13', 'grpc-message': 'INTERNAL: java.lang.NullPointerException' };
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...headers }, { endStream: true });
    }),
};

/** Words of the library, of HTTP/2 and of protocol buffers, which say nothing to whoever operates a cluster. */
export const rawText =
  /gRPC|grpc|RST_STREAM|NGHTTP2|Received|larger than|exhausted|limit exceeded|index out of range|wire type|java|\b\d+ [A-Z]+_?[A-Z]*:|Call (ended|cancelled)/;

function http2(onStream: (stream: ServerHttp2Stream) => void): Server {
  const server: Http2Server = createHttp2Server();
  server.on('sessionError', () => {});
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    onStream(stream);
  });
  return server;
}

function answer(stream: ServerHttp2Stream, bytes: readonly number[]): void {
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.end(Buffer.from(bytes));
}

/** Its address, and what closes it together with its connections. */
export async function listening(
  server: Server,
): Promise<{ readonly address: string; close(): Promise<void> }> {
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
