import type { VersionRange } from '../cluster-version.js';
import type { Message, NodeId, SnapshotMetadata, Term } from '../raft/types.js';

/**
 * How a node reaches its peers: gRPC in production, the simulator's network in tests. A transport may lose, delay
 * and reorder messages (heartbeats and votes overtake appends by design), and never delivers one to a node for
 * which it was not meant. One conformance suite runs on both implementations.
 */
export interface Transport {
  /** Starts to listen and to deliver to `receiver`. Throws a `RaftkvError` when the address cannot be used. */
  start(receiver: Receiver): Promise<void>;
  /** Replaces the set of peers to which messages can be sent; connections to others are closed. */
  setPeers(peers: readonly Peer[]): void;
  /** Hands over a message. Never blocks and never throws: a message that cannot be sent is dropped. */
  send(message: Message): void;
  /**
   * Streams a snapshot to a peer, pulling `chunks` no faster than the peer takes them, and resolves with the
   * peer's answer. Rejects when the connection breaks, the receiver refuses, or `abort` fires.
   */
  sendSnapshot(
    to: NodeId,
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    abort: AbortSignal,
  ): Promise<SnapshotAnswer>;
  /**
   * Asks a peer to do work for a client (correctness: at most once; never retried by the transport). Rejects with
   * the `RaftkvError` that the peer threw, with `no_leader` when the request certainly did not reach it, or with
   * `outcome_unknown` when the answer was lost, or when `signal` was aborted before it came; the peer is told of that.
   */
  forward(to: NodeId, request: ForwardRequest, timeoutMs: number, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Exchanges identities with whoever answers at `address`, before (or without) being in one cluster with it.
   * Rejects with `unavailable` when nobody answers, or with the error that the other side threw. A peer that answers is
   * reached from then on at the address that it names.
   */
  handshake(address: string, hello: Hello, timeoutMs: number): Promise<Hello>;
  /** What is known about the connection to each peer, for status pages and logs. */
  connections(): readonly PeerConnection[];
  /** Ends all streams, lets what was accepted finish within `graceMs`, and stops to listen. */
  stop(graceMs: number): Promise<void>;
}

export interface Peer {
  readonly id: NodeId;
  /** '' when the incarnation is not known yet; then whatever node of that name answers is accepted. */
  readonly incarnation: string;
  /** `host:port` of its gRPC server. */
  readonly address: string;
}

export interface PeerConnection {
  readonly id: NodeId;
  readonly address: string;
  readonly state: 'connected' | 'connecting' | 'refused';
  /** For `refused`, what the peer said: another cluster, another incarnation, a version that is not understood. */
  readonly reason: string;
  /** The client URL that the peer advertises about itself, '' while it was never heard. */
  readonly clientUrl: string;
  /** Who answers there and what it speaks, as said over the present connections; absent while not connected. */
  readonly report?: PeerReport;
}

/** What a peer said over the connections that are open now. */
export interface PeerReport {
  readonly incarnation: string;
  readonly versions: VersionRange;
}

/** What a node says about itself with every stream and call. */
export interface Identity {
  /** The cluster's id, a hash; '' until the node knows its cluster. */
  readonly cluster: string;
  readonly id: NodeId;
  readonly incarnation: string;
  /** Where other members reach it, `host:port`. */
  readonly peerAddress: string;
  /** Where clients reach it, `http://host:port`. */
  readonly clientUrl: string;
  /** The cluster versions that it speaks. */
  readonly versions: VersionRange;
}

/** The first thing that two nodes say to each other. */
export interface Hello {
  readonly identity: Identity;
  /**
   * The members with which a new cluster is being formed, as `n1=host:port,n2=host:port` sorted by id; '' when this
   * node is not forming one.
   */
  readonly initialCluster: string;
}

export interface SnapshotHeader {
  readonly from: NodeId;
  readonly fromIncarnation: string;
  readonly to: NodeId;
  readonly term: Term;
  readonly snapshot: SnapshotMetadata;
}

export interface SnapshotAnswer {
  readonly success: boolean;
  /** What the follower holds, when `success`. */
  readonly matchIndex: number;
  /** The follower's term, by which an old leader learns that it is one. */
  readonly term: Term;
}

/** Work that only the leader can do, asked of it by another node on behalf of a client. */
export interface ForwardRequest {
  /** `propose`: payload is an encoded command. `readIndex`: no payload. Others: JSON. */
  readonly operation: ForwardOperation;
  readonly payload: Uint8Array;
}

export type ForwardOperation =
  | 'propose'
  | 'readIndex'
  | 'members'
  | 'addMember'
  | 'removeMember'
  | 'promoteMember'
  | 'setMembers'
  | 'planMembers'
  | 'transferLeadership'
  | 'clusterVersionStatus'
  | 'raiseClusterVersion'
  | 'digests'
  | 'sendState';

/**
 * What a transport delivers to. The node implements it.
 *
 * `fromMember` says whether the sender is a member beyond doubt: its connection proved the cluster secret or, where this
 * node holds none, its name and incarnation are those of a member. What such a sender says and cannot be true is worth
 * a quarantine; from anybody else it is nonsense.
 */
export interface Receiver {
  /** Answers a {@link Transport.handshake}; what it throws is carried back to the asking side. */
  onHandshake(hello: Hello): Hello;
  /**
   * A message for this node, from a sender of the same cluster. Called in order of arrival for one stream. Returns null, or a
   * sentence that says why no member sends such a message; then it changed nothing.
   */
  onMessage(message: Message, fromMember: boolean): string | null;
  /** A stream or call was broken, so messages to this peer may have been lost. */
  onUnreachable(peer: NodeId): void;
  /** A snapshot is arriving. Resolves with the answer once it is on disk and in force, or refused. */
  onSnapshot(
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    fromMember: boolean,
  ): Promise<SnapshotAnswer>;
  /**
   * Does the work of a {@link ForwardRequest}, which only a member may ask for; what it throws is carried back to the asking
   * node. `signal` is aborted when that node does not wait for the answer any more.
   */
  onForward(
    request: ForwardRequest,
    from: NodeId,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
}
