import { once } from 'node:events';
import { createServer } from 'node:net';
import {
  Server,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { RaftkvError } from '../errors.js';
import type {
  AppendEntriesResponse,
  HeartbeatResponse,
  Message,
  RequestVoteResponse,
} from '../raft/types.js';
import type { Hello, Receiver } from './contract.js';
import { largestGroup } from './crowding.js';
import { Doorkeeper, type Entrant } from './doorkeeper.js';
import { failureOf } from './failure.js';
import { isForwardOperation } from './forward.js';
import { ENTRANT_HEADER, Gate } from './gate.js';
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
import {
  GUESTS_STREAMS_MAX,
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_TIMEOUT_MS,
  MESSAGE_BYTES_MAX,
  STREAMS_MAX,
} from './limits.js';
import type { LocalNode } from './local-node.js';
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
import type { Refusals } from './refusals.js';
import { ServedStreams } from './served-streams.js';
import { receiveSnapshot } from './snapshot-stream.js';
import { boundedTimeout, isIdentity, isInitialCluster, shownDetail } from './validation.js';
import { service, type WireHello, wire } from './wire.js';

const NOTHING = new Uint8Array();

type Stream = ServerDuplexStream<Buffer, Buffer>;
type Unary = ServerUnaryCall<Buffer, Buffer>;
type Answer = sendUnaryData<Buffer>;

/** Port 0 takes any that is free. */
interface Listen {
  readonly host: string;
  readonly port: number;
  /** Connections that are open at a time; half of them may belong to strangers. Without it, only the bounds in `limits.ts` hold. */
  readonly connectionsMax?: number;
}

/** A caller whose introduction was accepted. */
interface Caller {
  readonly route: Route;
  readonly entrant: Entrant;
  /** See {@link Receiver}. */
  isMember: boolean;
}

/**
 * This node as its peers call it. Every call but a handshake is checked before anything of it is read: same protocol,
 * same cluster, and meant for this very incarnation of this node.
 *
 * The listening socket is this side's own, and gRPC is handed the connections once the {@link Doorkeeper} is content: so
 * an address that cannot be used is known by its error code, and when the node stops no connection is left open.
 */
export class PeerServer {
  readonly #local: LocalNode;
  readonly #listen: Listen;
  readonly #receiver: Receiver;
  readonly #heard: (introduction: Introduction, isProven: boolean) => void;
  readonly #doorkeeper: Doorkeeper;
  readonly #gate: Gate;
  readonly #grpc = new Server({
    'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_concurrent_streams': STREAMS_MAX,
    'grpc.enable_channelz': 0,
  });
  readonly #listener = createServer({ noDelay: true });
  /** Callers with an open stream that are no members as far as this node knows, oldest first. */
  readonly #guests = new Set<Caller>();
  readonly #appends = new ServedStreams();
  readonly #heartbeats = new ServedStreams();
  readonly #votes = new PendingVotes();
  /** Work that was accepted and is not answered yet. */
  readonly #accepted = new Set<Promise<unknown>>();
  #stopping = false;

  /**
   * @param heard Called with the introduction of every call of a member that was accepted.
   */
  constructor(
    local: LocalNode,
    listen: Listen,
    refusals: Refusals,
    receiver: Receiver,
    heard: (introduction: Introduction, isProven: boolean) => void,
  ) {
    this.#listen = listen;
    this.#local = local;
    this.#receiver = receiver;
    this.#heard = heard;
    this.#doorkeeper = new Doorkeeper(
      local,
      refusals,
      Math.floor((listen.connectionsMax ?? Number.POSITIVE_INFINITY) / 2),
    );
    this.#gate = new Gate(this.#grpc, this.#doorkeeper);
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
    this.#listener.on('connection', (socket) => {
      this.#doorkeeper.receive(socket, (entrant) => this.#gate.admit(entrant));
    });
    const { host, port, connectionsMax } = this.#listen;
    if (connectionsMax !== undefined) this.#listener.maxConnections = connectionsMax;
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
    this.#doorkeeper.close();
  }

  #accept(call: Pick<Unary, 'metadata' | 'sendMetadata'>): Caller | Refusal {
    const me = this.#local.identity();
    if (this.#stopping) return notNow(`${me.id} is shutting down.`);
    const entrant = this.#entrantOf(call);
    if (entrant === undefined) return notNow('The connection is over.');
    const introduction = verify(me, this.#local.clusterVersion(), call.metadata);
    if (isRefusal(introduction)) return introduction;
    const { sender } = introduction;
    if (!isAsProven(entrant, introduction)) return this.#refuseImpostor(entrant);
    const isMember = this.#doorkeeper.introduced(entrant, sender);
    // At once, not with the first answer: the caller waits for it before it takes the stream for open.
    call.sendMetadata(introduce(me, sender));
    if (isMember) this.#heard(introduction, entrant.proven !== undefined);
    const route = { from: sender.id, fromIncarnation: sender.incarnation, to: me.id };
    return { route, entrant, isMember };
  }

  #entrantOf({ metadata }: Pick<Unary, 'metadata'>): Entrant | undefined {
    const [key] = metadata.get(ENTRANT_HEADER);
    return this.#doorkeeper.entrant(String(key));
  }

  #refuseImpostor(entrant: Entrant): Refusal {
    queueMicrotask(() => this.#doorkeeper.refuse(entrant, 'impostor'));
    return notNow('The caller is not the node that it had proven to be.');
  }

  #serveStream(
    call: Stream,
    streams: ServedStreams,
    decode: (bytes: Buffer, route: Route) => readonly Message[],
  ): void {
    const caller = this.#accept(call);
    if (isRefusal(caller)) {
      call.emit('error', caller);
      return;
    }
    const { route, entrant } = caller;
    this.#holdGuest(call, caller);
    const stream = streams.add(route, call);
    const cutOff = (why: string) => {
      streams.remove(stream);
      call.emit('error', { code: status.INVALID_ARGUMENT, details: shownDetail(why) });
      this.#doorkeeper.countNonsense(entrant);
    };
    call.on('data', (bytes: Buffer) => {
      if (!streams.has(stream)) return;
      streams.asked(stream);
      let messages: readonly Message[];
      try {
        messages = decode(bytes, route);
      } catch (error) {
        cutOff(error instanceof Error ? error.message : String(error));
        return;
      }
      const isMember = this.#isMember(caller);
      for (const message of messages) {
        const nonsense = this.#receiver.onMessage(message, isMember);
        if (nonsense === null || isMember) continue;
        cutOff(nonsense);
        return;
      }
    });
    call.on('end', () => {
      streams.remove(stream);
      call.end();
    });
    call.on('close', () => streams.remove(stream));
  }

  /** Whether the caller is a member; this node may have learned that since the call began. */
  #isMember(caller: Caller): boolean {
    if (caller.isMember) return true;
    const { entrant, route } = caller;
    caller.isMember = this.#doorkeeper.introduced(entrant, {
      id: route.from,
      incarnation: route.fromIncarnation,
    });
    if (caller.isMember) this.#guests.delete(caller);
    return caller.isMember;
  }

  /**
   * Bounds the streams of nodes that are no members. At the bound a connection goes: of the address with the most streams, the one
   * with the most of them, and of such ones the oldest.
   */
  #holdGuest(call: Stream | ServerReadableStream<Buffer, Buffer>, caller: Caller): void {
    if (caller.isMember) return;
    this.#guests.add(caller);
    call.on('close', () => this.#guests.delete(caller));
    if (this.#guests.size <= GUESTS_STREAMS_MAX) return;
    const guests = [...this.#guests].filter((guest) => !this.#isMember(guest));
    if (guests.length <= GUESTS_STREAMS_MAX) return;
    const ofOneAddress = largestGroup(guests, ({ entrant }) => entrant.address);
    const ofOneConnection = largestGroup(ofOneAddress, ({ entrant }) => entrant);
    for (const guest of ofOneConnection) this.#guests.delete(guest);
    const [guest] = ofOneConnection;
    if (guest !== undefined) this.#doorkeeper.refuse(guest.entrant, 'too_many');
  }

  #requestVote(call: Unary, answer: Answer): void {
    this.#serveCall(call, answer, ({ route, entrant, isMember }) => {
      const vote = decodeVote(call.request, route, 0);
      const number = this.#votes.add(route.from, answer);
      call.on('cancelled', () => this.#votes.drop(number));
      this.#deliver({ ...vote, call: number }, isMember, (nonsense) => {
        this.#votes.drop(number);
        answer({ code: status.INVALID_ARGUMENT, details: shownDetail(nonsense) });
        this.#doorkeeper.countNonsense(entrant);
      });
    });
  }

  #timeoutNow(call: Unary, answer: Answer): void {
    this.#serveMember(call, answer, ({ route, isMember }) => {
      this.#deliver(decodeTimeoutNow(call.request, route), isMember);
      answer(null, wire.timeoutNowResponse.encode({}));
    });
  }

  #forward(call: Unary, answer: Answer): void {
    this.#serveMember(call, answer, ({ route }) => {
      const { operation, payload, timeoutMs } = wire.forwardRequest.decode(call.request);
      if (!isForwardOperation(operation)) {
        const code = status.FAILED_PRECONDITION;
        answer({ code, details: `${route.to} does not know the operation that it was asked for.` });
        return;
      }
      const patienceMs = boundedTimeout(timeoutMs);
      const abandoned = new AbortController();
      call.on('cancelled', () => abandoned.abort(callAbandoned));
      const work = this.#receiver
        .onForward({ operation, payload }, route.from, patienceMs, abandoned.signal)
        .then(
          (answered) => answer(null, wire.forwardResponse.encode({ payload: answered, failure: null })),
          (error: unknown) =>
            answer(null, wire.forwardResponse.encode({ payload: NOTHING, failure: failureOf(error) })),
        );
      this.#track(work);
    });
  }

  #installSnapshot(call: ServerReadableStream<Buffer, Buffer>, answer: Answer): void {
    this.#serveCall(call, answer, (caller) => {
      this.#holdGuest(call, caller);
      const failed = (error: unknown) => ({
        term: 0,
        success: false,
        matchIndex: 0,
        failure: failureOf(error),
      });
      const work = receiveSnapshot(call, caller.route, this.#local)
        .then(({ header, chunks }) => this.#receiver.onSnapshot(header, chunks, this.#isMember(caller)))
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
    const entrant = this.#entrantOf(call);
    if (entrant === undefined || !isAsProven(entrant, introduction)) {
      answer(entrant === undefined ? notNow('The connection is over.') : this.#refuseImpostor(entrant));
      return;
    }
    call.sendMetadata(introduce(this.#local.identity(), anyone));
    const asked = readHello(call.request, introduction);
    if (asked === undefined) {
      answer({ code: status.INVALID_ARGUMENT, details: 'The caller did not say who it is.' });
      this.#doorkeeper.countNonsense(entrant);
      return;
    }
    let response: Parameters<typeof wire.handshakeResponse.encode>[0];
    try {
      response = { hello: this.#receiver.onHandshake(asked), failure: null };
    } catch (error) {
      response = { hello: null, failure: failureOf(error) };
    }
    answer(null, wire.handshakeResponse.encode(response));
  }

  /** Serves a call with one answer, if it may be served and can be decoded. */
  #serveCall(
    call: Pick<Unary, 'metadata' | 'sendMetadata'>,
    answer: Answer,
    serve: (caller: Caller) => void,
  ): void {
    const caller = this.#accept(call);
    if (isRefusal(caller)) {
      answer(caller);
      return;
    }
    try {
      serve(caller);
    } catch (error) {
      answer({ code: status.INVALID_ARGUMENT, details: shownDetail(String(error)) });
      this.#doorkeeper.countNonsense(caller.entrant);
    }
  }

  /** Serves a call that only members have any business making. */
  #serveMember(
    call: Pick<Unary, 'metadata' | 'sendMetadata'>,
    answer: Answer,
    serve: (caller: Caller) => void,
  ): void {
    this.#serveCall(call, answer, (caller) => {
      const { route, entrant, isMember } = caller;
      if (isMember) {
        serve(caller);
        return;
      }
      this.#doorkeeper.noteGuest(entrant);
      answer(notNow(`${route.from} is no member as far as ${route.to} knows.`));
    });
  }

  /** Hands over a message outside of the handler, in which gRPC would take a failed assertion for a failed call. */
  #deliver(message: Message, isMember: boolean, refuse: (nonsense: string) => void = () => {}): void {
    queueMicrotask(() => {
      const nonsense = this.#receiver.onMessage(message, isMember);
      if (nonsense !== null && !isMember) refuse(nonsense);
    });
  }

  #track(work: Promise<unknown>): void {
    this.#accepted.add(work);
    void work.finally(() => this.#accepted.delete(work));
  }
}

/** A reason that is there already: making an error for every abandoned call would cost more than the rest of it. */
const callAbandoned = 'The peer does not wait for the answer any more.';
/** Whether a caller is who its connection proved to be. A node that proved itself may have come to its cluster since. */
function isAsProven({ proven }: Entrant, { sender }: Introduction): boolean {
  if (proven === undefined) return true;
  return (
    proven.id === sender.id &&
    proven.incarnation === sender.incarnation &&
    (proven.cluster === '' || proven.cluster === sender.cluster)
  );
}

/** What a caller says in a handshake; undefined when that is not what a node says, or not what it introduced itself as. */
function readHello(request: Buffer, { sender }: Introduction): Hello | undefined {
  let hello: WireHello | null;
  try {
    hello = wire.handshakeRequest.decode(request).hello;
  } catch {
    return undefined;
  }
  const identity = hello?.identity ?? null;
  if (hello === null || !isIdentity(identity) || !isInitialCluster(hello.initialCluster)) return undefined;
  if (identity.id !== sender.id || identity.incarnation !== sender.incarnation) return undefined;
  return { identity: identityOf(identity), initialCluster: hello.initialCluster };
}

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
