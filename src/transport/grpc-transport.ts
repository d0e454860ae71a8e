import { type ClientUnaryCall, type ServiceError, status } from '@grpc/grpc-js';
import { assert, present, unreachable } from '../assert.js';
import { systemClock } from '../clock.js';
import { RaftkvError } from '../errors.js';
import type { Message, NodeId } from '../raft/types.js';
import { callOnce } from './connection.js';
import type {
  ForwardRequest,
  Hello,
  Peer,
  PeerConnection,
  Receiver,
  SnapshotAnswer,
  SnapshotHeader,
  Transport,
} from './contract.js';
import { Dial } from './dial.js';
import { errorOf } from './failure.js';
import { forwardFailed, notReached, unanswered } from './forward.js';
import { anyone, type Introduction, identityOf, introduce } from './introduction.js';
import type { LocalNode } from './local-node.js';
import { PeerClient } from './peer-client.js';
import { type RefusalReason, Refusals, type Refused } from './refusals.js';
import { PeerServer } from './server.js';
import { sendSnapshot } from './snapshot-stream.js';
import { isIdentity, isInitialCluster, shownDetail } from './validation.js';
import { service, wire } from './wire.js';

export interface GrpcTransportOptions extends LocalNode {
  /** Where to listen: a host and a port, 0 for any that is free. */
  readonly listen: { readonly host: string; readonly port: number; readonly connectionsMax?: number };
  /** Called for what was refused at the peer port; once a while for each address and reason. */
  readonly refused: (refused: Refused) => void;
  /** Called with a sentence whenever a connection to a peer opens, breaks or is refused; not called unless given. */
  readonly connectionChanged?: (peer: NodeId, line: string) => void;
}

/**
 * The peer transport over gRPC (`proto/raft.proto`). It carries the core's messages, which may be lost, and turns the
 * calls that have one answer (votes) into messages as well.
 *
 * Each peer has a {@link PeerClient}; all peers share the one {@link PeerServer}. Requests go out through the first,
 * and answers to them come back on the same stream; answers to a peer's requests go out through the second.
 *
 * Each connection begins with a proof of the cluster secret, where there is one (`proof.ts`).
 *
 * Deliberately missing: retries (the core repeats what matters), TLS, and any memory of what was sent.
 */
export class GrpcTransport implements Transport {
  readonly #options: GrpcTransportOptions;
  readonly #refusals: Refusals;
  readonly #peers = new Map<NodeId, PeerClient>();
  /** Calls of this side that wait for their answer. */
  readonly #calls = new Map<Promise<unknown>, ClientUnaryCall>();
  #receiver: Receiver | undefined;
  #server: PeerServer | undefined;
  #stopped = false;

  constructor(options: GrpcTransportOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options.refused);
  }

  /** What was refused at the peer port since the start. */
  get refusals(): ReadonlyMap<RefusalReason, number> {
    return this.#refusals.counts;
  }

  /** The port that this node listens on, which the system chose when the one asked for was 0. Only after `start`. */
  get port(): number {
    return present(this.#server, 'The transport has a port once it is started.').port;
  }

  async start(receiver: Receiver): Promise<void> {
    assert(this.#receiver === undefined, 'A transport is started once.');
    const server = new PeerServer(
      this.#options,
      this.#options.listen,
      this.#refusals,
      receiver,
      (introduction, isProven) => {
        this.#peers.get(introduction.sender.id)?.heard(introduction.sender, isProven);
      },
    );
    await server.start();
    this.#receiver = receiver;
    this.#server = server;
  }

  setPeers(peers: readonly Peer[]): void {
    const receiver = present(this.#receiver, 'Peers are set after the transport is started.');
    if (this.#stopped) return;
    const wanted = new Map(peers.map((peer) => [peer.id, peer]));
    for (const [id, client] of this.#peers) {
      if (wanted.has(id)) continue;
      this.#peers.delete(id);
      client.close();
    }
    for (const [id, peer] of wanted) {
      const client = this.#peers.get(id);
      if (client) client.reconfigure(peer);
      else
        this.#peers.set(id, new PeerClient(peer, this.#options, receiver, this.#options.connectionChanged));
    }
  }

  send(message: Message): void {
    switch (message.type) {
      case 'appendEntries':
      case 'heartbeat':
      case 'requestVote':
      case 'timeoutNow':
        this.#peers.get(message.to)?.send(message);
        return;
      case 'appendEntriesResponse':
      case 'heartbeatResponse':
        this.#server?.respond(message);
        return;
      case 'requestVoteResponse':
        this.#server?.respondToVote(message);
        return;
      case 'installSnapshot':
      case 'installSnapshotResponse':
        // These two never travel as messages: sendSnapshot carries the one there and the other back.
        return;
      default:
        unreachable(message);
    }
  }

  async sendSnapshot(
    to: NodeId,
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    abort: AbortSignal,
  ): Promise<SnapshotAnswer> {
    const peer = this.#peers.get(to);
    if (peer === undefined) throw new RaftkvError('unavailable', `${to} is not a peer of this node.`);
    return sendSnapshot(peer.target, this.#options, peer.introduction(), header, chunks, abort);
  }

  async forward(
    to: NodeId,
    request: ForwardRequest,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const peer = this.#peers.get(to);
    const client = peer?.bulkClient;
    if (peer === undefined || client === undefined) throw notReached(to);
    const { operation, payload } = request;
    const bytes = wire.forwardRequest.encode({ operation, payload, timeoutMs });
    return this.#call(
      (settle) =>
        callOnce(client, service.Forward, bytes, peer.introduction(), timeoutMs, (error, answer) =>
          settle(() => {
            if (error) throw forwardFailed(to, operation, error);
            const answered = decoded(wire.forwardResponse, answer);
            if (answered === undefined) throw unanswered(to, operation, 'gave an answer that cannot be read');
            if (answered.failure !== null) throw errorOf(answered.failure);
            return answered.payload;
          }),
        ),
      signal,
    );
  }

  async handshake(address: string, hello: Hello, timeoutMs: number): Promise<Hello> {
    let call: ClientUnaryCall | undefined;
    const dial = new Dial({ ...anyone, address }, this.#options, () => call?.cancel());
    const bytes = wire.handshakeRequest.encode({ hello });
    const metadata = introduce(this.#options.identity(), anyone);
    try {
      const answered = await this.#call<Hello>((settle) => {
        call = callOnce(dial.client, service.Handshake, bytes, metadata, timeoutMs, (error, answer, from) =>
          settle(() => {
            if (dial.objection !== '') {
              throw new RaftkvError(
                dial.isWrongPeer ? 'identity_conflict' : 'secret_not_proven',
                dial.objection,
              );
            }
            if (error)
              throw new RaftkvError('unavailable', `${address} did not answer: ${whyFailed(error)}.`);
            return readHello(address, answer, from, dial);
          }),
        );
        return call;
      });
      const { cluster, id } = answered.identity;
      if (cluster !== '' && cluster === this.#options.identity().cluster) {
        this.#peers.get(id)?.heard(answered.identity, dial.proven !== undefined);
      }
      return answered;
    } finally {
      dial.close();
    }
  }

  connections(): readonly PeerConnection[] {
    return [...this.#peers.values()].map((peer) => peer.status());
  }

  /** The peers to which this node is connected without a proof that they know the cluster secret. */
  unproven(): readonly NodeId[] {
    return [...this.#peers.values()].filter((peer) => peer.isUnproven).map((peer) => peer.id);
  }

  async stop(graceMs: number): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#server?.drain();
    for (const peer of this.#peers.values()) peer.close();
    const finished = Promise.allSettled([this.#server?.finished(), ...this.#calls.keys()]);
    await new Promise<void>((resolve) => {
      const timeout = systemClock.after(graceMs, resolve);
      void finished.then(() => {
        timeout.cancel();
        resolve();
      });
    });
    for (const call of this.#calls.values()) call.cancel();
    this.#server?.close();
    this.#peers.clear();
  }

  /**
   * A call as a promise that {@link stop} waits for. Settles as what `settle` is given returns or throws. The call is cancelled
   * when `signal` is aborted.
   */
  #call<Value>(
    start: (settle: (read: () => Value) => void) => ClientUnaryCall,
    signal?: AbortSignal,
  ): Promise<Value> {
    let call: ClientUnaryCall | undefined;
    const cancel = () => call?.cancel();
    const answer = new Promise<Value>((resolve, reject) => {
      call = start((read) => {
        signal?.removeEventListener('abort', cancel);
        try {
          resolve(read());
        } catch (error) {
          reject(error);
        }
      });
    });
    signal?.addEventListener('abort', cancel);
    if (signal?.aborted) cancel();
    this.#calls.set(answer, present(call, 'A promise runs its executor at once.'));
    const forget = () => this.#calls.delete(answer);
    answer.then(forget, forget);
    return answer;
  }
}

function readHello(
  address: string,
  answer: Buffer | undefined,
  introduction: Introduction | undefined,
  { proven }: Dial,
): Hello {
  const answered = decoded(wire.handshakeResponse, answer);
  if (answered === undefined) {
    throw new RaftkvError('unavailable', `${address} did not answer: what it sent is not of a raftkv node.`);
  }
  const { hello, failure } = answered;
  if (failure !== null) throw errorOf(failure);
  const identity = hello?.identity ?? null;
  const isSame = (one: { readonly id: string; readonly incarnation: string } | undefined) =>
    one !== undefined && one.id === identity?.id && one.incarnation === identity.incarnation;
  if (hello === null || !isIdentity(identity) || !isInitialCluster(hello.initialCluster)) {
    throw new RaftkvError('unavailable', `${address} answered without saying who it is.`);
  }
  if (!isSame(introduction?.sender) || (proven !== undefined && !isSame(proven))) {
    throw new RaftkvError('unavailable', `${address} says that it is two nodes.`);
  }
  return { identity: identityOf(identity), initialCluster: hello.initialCluster };
}

/** The message of an answer; undefined where the bytes are none. */
function decoded<Message>(
  message: { readonly decode: (bytes: Buffer) => Message },
  answer: Buffer | undefined,
): Message | undefined {
  const bytes = present(answer, 'A call without error has an answer.');
  try {
    return message.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The codes with which a node explains itself. With others, the details are the library's. */
const explained: ReadonlySet<status> = new Set([
  status.FAILED_PRECONDITION,
  status.ABORTED,
  status.INVALID_ARGUMENT,
]);

/** In words: what the library says names its own states, and repeats itself. */
function whyFailed({ code, details }: ServiceError): string {
  if (explained.has(code)) return shownDetail(details);
  if (code === status.DEADLINE_EXCEEDED) return 'it took too long';
  if (code === status.UNIMPLEMENTED) return 'its version does not know this request';
  if (code !== status.UNAVAILABLE) return 'what it sent is not of a raftkv node';
  const reason = /\bE[A-Z]{4,}\b/.exec(details)?.[0];
  return reason === undefined ? 'no connection came about' : `no connection came about (${reason})`;
}
