import type { Http2Server, Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { assert, present } from '../assert.js';
import type { Doorkeeper, Entrant } from './doorkeeper.js';
import { STRANGERS_CALL_BYTES_MAX } from './limits.js';
import { service } from './wire.js';

/** The header in which a call carries the key of its connection; what a caller puts there is overwritten. */
export const ENTRANT_HEADER = 'raftkv-entrant';

/** Calls with a single request, which gRPC hands over only when it is complete. */
const singleRequests: ReadonlySet<string> = new Set(
  Object.values(service)
    .filter((method) => !method.requestStream)
    .map((method) => method.path),
);

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/**
 * Lets gRPC begin HTTP/2 on a connection. Streams of members go straight to gRPC. Those of anybody else are counted
 * first, their single requests are bounded, and they are not compressed, so that what they cost is known before gRPC
 * spends anything on them.
 */
export class Gate {
  readonly #doorkeeper: Doorkeeper;
  readonly #inject: (socket: Socket) => void;
  readonly #toGrpc: StreamListener;
  readonly #sessions = new WeakMap<Http2Session, Entrant>();
  /** The connection on which HTTP/2 is just beginning. */
  #entering: Entrant | undefined;

  constructor(grpc: Server, doorkeeper: Doorkeeper) {
    this.#doorkeeper = doorkeeper;
    const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#inject = (socket) => injector.injectConnection(socket);
    const server = http2ServerOf(grpc);
    const [toGrpc] = server.listeners('stream');
    this.#toGrpc = present(toGrpc, 'gRPC listens to the streams of its HTTP/2 server.') as StreamListener;
    server.removeAllListeners('stream');
    server.on('stream', (stream, headers) => this.#onStream(stream, headers));
    server.prependListener('session', (session) => this.#onSession(session));
  }

  admit(entrant: Entrant): void {
    this.#entering = entrant;
    this.#inject(entrant.socket);
    this.#entering = undefined;
  }

  #onSession(session: Http2Session): void {
    const entrant = present(this.#entering, 'A session begins while its connection is handed over.');
    this.#sessions.set(session, entrant);
    session.on('ping', () => this.#doorkeeper.countControlFrame(entrant));
    session.on('remoteSettings', () => this.#doorkeeper.countControlFrame(entrant));
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const entrant = stream.session === undefined ? undefined : this.#sessions.get(stream.session);
    if (entrant === undefined || !this.#mayBegin(stream, headers, entrant)) {
      stream.on('error', () => {});
      stream.destroy();
      return;
    }
    headers[ENTRANT_HEADER] = entrant.key;
    this.#toGrpc(stream, headers);
  }

  #mayBegin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, entrant: Entrant): boolean {
    if (entrant.standing === 'member') return true;
    if (!this.#doorkeeper.countCall(entrant)) return false;
    const encoding = headers['grpc-encoding'] ?? 'identity';
    if (encoding !== 'identity') {
      this.#doorkeeper.refuse(entrant, 'malformed');
      return false;
    }
    if (singleRequests.has(headers[':path'] ?? '')) this.#bound(stream, entrant);
    return true;
  }

  #bound(stream: ServerHttp2Stream, entrant: Entrant): void {
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > STRANGERS_CALL_BYTES_MAX) this.#doorkeeper.refuse(entrant, 'too_large');
    });
  }
}

/**
 * The one HTTP/2 server behind a gRPC server with one injector. grpc-js offers no way to see a stream before it reads
 * from it; `test/transport/grpc-internals.test.ts` fails when a new version keeps its servers elsewhere.
 */
function http2ServerOf(grpc: Server): Http2Server {
  const { http2Servers } = grpc as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
  assert(
    http2Servers instanceof Map && http2Servers.size === 1,
    'grpc-js keeps its HTTP/2 servers in a map.',
  );
  const [server] = http2Servers.keys();
  return present(server, 'There is one HTTP/2 server.');
}
