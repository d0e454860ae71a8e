import type { Http2Server, Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { type Server, ServerCredentials, status } from '@grpc/grpc-js';
import { assert, present } from '../assert.js';
import type { Doorkeeper, Entrant } from './doorkeeper.js';
import { MESSAGE_BYTES_MAX, SMALL_MESSAGE_BYTES_MAX, STRANGERS_CALL_BYTES_MAX } from './limits.js';
import { MessageMeter } from './unfinished-messages.js';
import { service } from './wire.js';

/** The header in which a call carries the key of its connection; what a caller puts there is overwritten. */
export const ENTRANT_HEADER = 'raftkv-entrant';

/** Calls with a single request, which gRPC hands over only when it is complete. */
const singleRequests: ReadonlySet<string> = new Set(
  Object.values(service)
    .filter((method) => !method.requestStream)
    .map((method) => method.path),
);

/** Streams whose messages are small. */
const smallMessages: ReadonlySet<string> = new Set([service.Heartbeat.path, service.InstallSnapshot.path]);

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/**
 * Lets gRPC begin HTTP/2 on a connection. Streams of connections with a proof go straight to gRPC. Those of others are
 * counted first, what their unfinished messages hold is bounded, and they are not compressed, so that what they cost is
 * known before gRPC spends anything on them.
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
    if (entrant.proven !== undefined) return true;
    if (!this.#doorkeeper.countCall(entrant)) return false;
    const encoding = headers['grpc-encoding'] ?? 'identity';
    if (encoding !== 'identity') {
      this.#doorkeeper.refuse(entrant, 'malformed');
      return false;
    }
    const path = headers[':path'] ?? '';
    const isBounded = singleRequests.has(path) && !this.#doorkeeper.isMember(entrant);
    const largest = smallMessages.has(path) ? SMALL_MESSAGE_BYTES_MAX : MESSAGE_BYTES_MAX;
    this.#measure(stream, entrant, isBounded ? STRANGERS_CALL_BYTES_MAX : largest, isBounded);
    return true;
  }

  /** @param isSingle Whether one message of this size is all that may come. */
  #measure(stream: ServerHttp2Stream, entrant: Entrant, messageBytesMax: number, isSingle: boolean): void {
    const meter = new MessageMeter(messageBytesMax);
    let held = 0;
    let bytes = 0;
    let isOver = false;
    const count = (now: number) => {
      if (now === held) return;
      const more = now - held;
      held = now;
      this.#doorkeeper.countUnfinished(entrant, more);
    };
    const onPiece = (piece: Buffer) => {
      if (entrant.socket.destroyed) return;
      entrant.contentBytes += piece.length;
      if (isOver) return;
      bytes += piece.length;
      const isTooLarge = !meter.take(piece) || (isSingle && bytes > messageBytesMax);
      if (!isTooLarge) {
        count(meter.heldBytes);
        return;
      }
      if (!isSingle || entrant.standing === 'stranger' || stream.headersSent) {
        this.#doorkeeper.refuse(entrant, 'too_large');
        return;
      }
      isOver = true;
      count(0);
      this.#doorkeeper.noteGuest(entrant);
      refuseCall(stream, onPiece);
    };
    stream.on('data', onPiece);
    stream.on('close', () => {
      if (!entrant.socket.destroyed) count(0);
    });
  }
}

/**
 * Answers a call of which gRPC has not seen the whole request, and never will: what is still on its way is dropped, so the
 * caller may take the call for not done.
 *
 * @param onPiece The only listener that stays.
 */
function refuseCall(stream: ServerHttp2Stream, onPiece: (piece: Buffer) => void): void {
  stream.removeAllListeners('data').removeAllListeners('end');
  stream.on('data', onPiece);
  const answer = {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': String(status.ABORTED),
    'grpc-message': 'This node does not know the caller as a member yet, and takes no large request from it.',
  };
  stream.respond(answer, { endStream: true });
  // gRPC pauses the stream once more when it takes the present piece.
  queueMicrotask(() => stream.resume());
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
