import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { ClusterVersion } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import type {
  AppendEntriesResponse,
  HeartbeatResponse,
  Message,
  RequestVoteResponse,
} from '../raft/types.js';
import type { Identity, Receiver } from './contract.js';
import { failureOf } from './failure.js';
import { isForwardOperation } from './forward.js';
import {
  anyone,
  type Introduction,
  identityOf,
  introduce,
  isRefusal,
  notNow,
  type Refusal,
  verify,
  verifyVersion,
} from './introduction.js';
import { KEEPALIVE_INTERVAL_MS, KEEPALIVE_TIMEOUT_MS, MESSAGE_BYTES_MAX } from './limits.js';
import {
  decodeAppends,
  decodeHeartbeats,
  decodeTimeoutNow,
  decodeVote,
  encodeAppendResponse,
  encodeHeartbeatResponse,
  type Route,
} from './messages.js';
import { PendingVotes } from './pending-votes.js';
import { ServedStreams } from './served-streams.js';
import { receiveSnapshot } from './snapshot-stream.js';
import { service, wire } from './wire.js';

const NOTHING = new Uint8Array();

type Stream = ServerDuplexStream<Buffer, Buffer>;
type Unary = ServerUnaryCall<Buffer, Buffer>;
type Answer = sendUnaryData<Buffer>;

/**
 * This node as its peers call it. Every call but a handshake is checked before anything of it is read: same protocol,
 * same cluster, and meant for this very incarnation of this node.
 *
 * The listening socket is this side's own, and gRPC is handed the connections: so an address that cannot be used is
 * known by its error code, and when the node stops no connection is left open.
 */
export class PeerServer {
  readonly #listen: { readonly host: string; readonly port: number };
  readonly #identity: () => Identity;
  readonly #clusterVersion: () => ClusterVersion;
  readonly #receiver: Receiver;
  readonly #heard: (introduction: Introduction) => void;
  readonly #grpc = new Server({
    'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.enable_channelz': 0,
  });
  readonly #listener = createServer({ noDelay: true });
  readonly #sockets = new Set<Socket>();
  readonly #appends = new ServedStreams();
  readonly #heartbeats = new ServedStreams();
  readonly #votes = new PendingVotes();
  /** Work that was accepted and is not answered yet. */
  readonly #accepted = new Set<Promise<unknown>>();
  #stopping = false;

  /**
   * @param listen `host:port`; port 0 takes any that is free.
   * @param heard Called with the introduction of every call that was accepted.
   */
  constructor(
    listen: { readonly host: string; readonly port: number },
    identity: () => Identity,
    clusterVersion: () => ClusterVersion,
    receiver: Receiver,
    heard: (introduction: Introduction) => void,
  ) {
    this.#listen = listen;
    this.#identity = identity;
    this.#clusterVersion = clusterVersion;
    this.#receiver = receiver;
    this.#heard = heard;
    this.#grpc.addService(service, {
      Handshake: (call: Unary, answer: Answer) => this.#handshake(call, answer),
      RequestVote: (call: Unary, answer: Answer) => this.#requestVote(call, answer),
      AppendEntries: (call: Stream) => this.#serveStream(call, this.#appends, decodeAppends),
      Heartbeat: (call: Stream) => this.#serveStream(call, this.#heartbeats, decodeHeartbeats),
      InstallSnapshot: (call: ServerReadableStream<Buffer, Buffer>, answer: Answer) =>
        this.#installSnapshot(call, answer),
      TimeoutNow: (call: Unary, answer: Answer) => this.#timeoutNow(call, answer),
      Forward: (call: Unary, answer: Answer) => this.#forward(call, answer),
    });
  }

  /** The port that is listened on; only after {@link start}. */
  get port(): number {
    const address = this.#listener.address();
    return typeof address === 'object' && address !== null ? address.port : this.#listen.port;
  }

  /** Throws a `RaftkvError`: `address_in_use`, or `usage` when the address cannot be listened on for another reason. */
  async start(): Promise<void> {
    const injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#listener.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      injector.injectConnection(socket);
    });
    const { host, port } = this.#listen;
    this.#listener.listen({ host, port });
    try {
      await once(this.#listener, 'listening');
    } catch (error) {
      throw listenError(`${host}:${port}`, error);
    }
    // A connection that could not be accepted, for want of file descriptors say, is tried again by the peer.
    this.#listener.on('error', () => {});
  }

  /** Sends an answer over the stream of who asked, or drops it when there is none. */
  respond(message: AppendEntriesResponse | HeartbeatResponse): void {
    const streams = message.type === 'appendEntriesResponse' ? this.#appends : this.#heartbeats;
    const stream = streams.answering(message.to);
    if (stream === undefined) return;
    const bytes =
      message.type === 'appendEntriesResponse'
        ? encodeAppendResponse(message)
        : encodeHeartbeatResponse(message);
    if (stream.outgoing.push(bytes)) return;
    streams.remove(stream);
    const details = `${message.to} does not take its answers.`;
    stream.call.emit('error', { code: status.RESOURCE_EXHAUSTED, details });
  }

  /** Answers the call for a vote that `message.call` numbers, unless it is over. */
  respondToVote(message: RequestVoteResponse): void {
    this.#votes.answer(message);
  }

  /** Accepts nothing more and ends the streams; what was accepted goes on. */
  drain(): void {
    this.#stopping = true;
    this.#listener.close();
    this.#appends.endAll();
    this.#heartbeats.endAll();
    this.#votes.dropAll();
  }

  /** Settles when what was accepted has been answered, and the answers have left. */
  async finished(): Promise<void> {
    await Promise.allSettled(this.#accepted);
    await new Promise<void>((resolve) => {
      this.#grpc.tryShutdown(() => resolve());
    });
  }

  /** Breaks off whatever is left. */
  close(): void {
    this.#grpc.forceShutdown();
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(call: Pick<Unary, 'metadata' | 'sendMetadata'>): Route | Refusal {
    const me = this.#identity();
    if (this.#stopping) return notNow(`${me.id} is shutting down.`);
    const introduction = verify(me, this.#clusterVersion(), call.metadata);
    if (isRefusal(introduction)) return introduction;
    const { sender } = introduction;
    // At once, not with the first answer: the caller waits for it before it takes the stream for open.
    call.sendMetadata(introduce(me, sender));
    this.#heard(introduction);
    return { from: sender.id, fromIncarnation: sender.incarnation, to: me.id };
  }

  #serveStream(
    call: Stream,
    streams: ServedStreams,
    decode: (bytes: Buffer, route: Route) => readonly Message[],
  ): void {
    const route = this.#accept(call);
    if (isRefusal(route)) {
      call.emit('error', route);
      return;
    }
    const stream = streams.add(route, call);
    call.on('data', (bytes: Buffer) => {
      if (!streams.has(stream)) return;
      streams.asked(stream);
      let messages: readonly Message[];
      try {
        messages = decode(bytes, route);
      } catch (error) {
        streams.remove(stream);
        const details = error instanceof Error ? error.message : String(error);
        call.emit('error', { code: status.INVALID_ARGUMENT, details });
        return;
      }
      for (const message of messages) this.#receiver.onMessage(message);
    });
    call.on('end', () => {
      streams.remove(stream);
      call.end();
    });
    call.on('close', () => streams.remove(stream));
  }

  #requestVote(call: Unary, answer: Answer): void {
    this.#serveCall(call, answer, (route) => {
      const vote = decodeVote(call.request, route, 0);
      const number = this.#votes.add(route.from, answer);
      call.on('cancelled', () => this.#votes.drop(number));
      this.#deliver({ ...vote, call: number });
    });
  }

  #timeoutNow(call: Unary, answer: Answer): void {
    this.#serveCall(call, answer, (route) => {
      this.#deliver(decodeTimeoutNow(call.request, route));
      answer(null, wire.timeoutNowResponse.encode({}));
    });
  }

  #forward(call: Unary, answer: Answer): void {
    this.#serveCall(call, answer, (route) => {
      const { operation, payload, timeoutMs } = wire.forwardRequest.decode(call.request);
      if (!isForwardOperation(operation)) {
        const code = status.FAILED_PRECONDITION;
        answer({ code, details: `${route.to} does not know the operation ${operation}.` });
        return;
      }
      const abandoned = new AbortController();
      call.on('cancelled', () => abandoned.abort(callAbandoned));
      const work = this.#receiver
        .onForward({ operation, payload }, route.from, timeoutMs, abandoned.signal)
        .then(
          (answered) => answer(null, wire.forwardResponse.encode({ payload: answered, failure: null })),
          (error: unknown) =>
            answer(null, wire.forwardResponse.encode({ payload: NOTHING, failure: failureOf(error) })),
        );
      this.#track(work);
    });
  }

  #installSnapshot(call: ServerReadableStream<Buffer, Buffer>, answer: Answer): void {
    this.#serveCall(call, answer, (route) => {
      const failed = (error: unknown) => ({
        term: 0,
        success: false,
        matchIndex: 0,
        failure: failureOf(error),
      });
      const work = receiveSnapshot(call, route)
        .then(({ header, chunks }) => this.#receiver.onSnapshot(header, chunks))
        .then((answered) => ({ ...answered, failure: null }), failed)
        .then((response) => answer(null, wire.snapshotResponse.encode(response)));
      this.#track(work);
    });
  }

  #handshake(call: Unary, answer: Answer): void {
    const introduction = verifyVersion(call.metadata);
    if (isRefusal(introduction)) {
      answer(introduction);
      return;
    }
    call.sendMetadata(introduce(this.#identity(), anyone));
    const { hello } = wire.handshakeRequest.decode(call.request);
    if (hello === null || hello.identity === null) {
      answer({ code: status.INVALID_ARGUMENT, details: 'The caller did not say who it is.' });
      return;
    }
    const asked = { identity: identityOf(hello.identity), initialCluster: hello.initialCluster };
    let response: Parameters<typeof wire.handshakeResponse.encode>[0];
    try {
      response = { hello: this.#receiver.onHandshake(asked), failure: null };
    } catch (error) {
      response = { hello: null, failure: failureOf(error) };
    }
    answer(null, wire.handshakeResponse.encode(response));
  }

  /** Serves a call with one answer, if it may be served. gRPC answers UNKNOWN to what cannot be decoded. */
  #serveCall(
    call: Pick<Unary, 'metadata' | 'sendMetadata'>,
    answer: Answer,
    serve: (route: Route) => void,
  ): void {
    const route = this.#accept(call);
    if (isRefusal(route)) answer(route);
    else serve(route);
  }

  /** Hands over a message outside of the handler, in which gRPC would take a failed assertion for a failed call. */
  #deliver(message: Message): void {
    queueMicrotask(() => this.#receiver.onMessage(message));
  }

  #track(work: Promise<unknown>): void {
    this.#accepted.add(work);
    void work.finally(() => this.#accepted.delete(work));
  }
}

/** A reason that is there already: making an error for every abandoned call would cost more than the rest of it. */
const callAbandoned = 'The peer does not wait for the answer any more.';

function listenError(address: string, error: unknown): RaftkvError {
  const code = error instanceof Error && 'code' in error ? error.code : '';
  switch (code) {
    case 'EADDRINUSE':
      return new RaftkvError(
        'address_in_use',
        `${address} is in use by another process; stop that one, or choose another address with --peer.`,
      );
    case 'EADDRNOTAVAIL':
      return new RaftkvError(
        'usage',
        `${address} is not an address of this machine; choose one with --peer, such as 0.0.0.0:PORT for all.`,
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new RaftkvError(
        'usage',
        `The host of ${address} cannot be resolved; choose another with --peer.`,
      );
    case 'EACCES':
      return new RaftkvError(
        'usage',
        `This process may not listen on ${address}; choose a port above 1023 with --peer.`,
      );
    default:
      return new RaftkvError('usage', `${address} cannot be listened on: ${String(error)}.`);
  }
}
