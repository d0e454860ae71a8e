import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { assert, present } from '../assert.js';
import type { VersionRange } from '../cluster-version.js';
import { readAbsentBytesAsBytes } from '../protobuf.js';

/**
 * The bytes of the peer protocol, from `proto/raft.proto`. Messages go straight through the protobufjs types: the
 * serialisers of @grpc/proto-loader convert every message to a second object in either direction. gRPC itself is handed
 * bytes and hands out bytes, so that this side knows how many are waiting, and meets a malformed message in its own code.
 */

const root = protobuf.loadSync(fileURLToPath(new URL('../../proto/raft.proto', import.meta.url)));
readAbsentBytesAsBytes(root);

/** Field names as in the proto, in camel case. A nested message that is absent is null. */
export interface Codec<Wire> {
  encode(value: Wire): Buffer;
  /** Throws an Error when the bytes are not such a message. Absent fields have the defaults of proto3. */
  decode(bytes: Uint8Array): Wire;
}

function codec<Wire extends object>(name: string): Codec<Wire> {
  const type = root.lookupType(`raftkv.${name}`);
  return {
    encode(value) {
      const bytes = type.encode(value).finish();
      assert(Buffer.isBuffer(bytes), 'protobufjs writes Buffers on Node.');
      return bytes;
    },
    // The generated decoder returns an object whose fields and defaults are those of the type in the proto, which
    // the interfaces below repeat; protobufjs has no static type for it.
    decode: (bytes) => type.decode(bytes) as unknown as Wire,
  };
}

export interface WireIdentity {
  readonly cluster: string;
  readonly id: string;
  readonly incarnation: string;
  readonly peerAddress: string;
  readonly clientUrl: string;
  /** null from a program that does not know the field. */
  readonly versions: VersionRange | null;
}

export interface WireIntroduction {
  readonly protocolVersion: number;
  readonly sender: WireIdentity | null;
  readonly recipient: string;
  readonly recipientIncarnation: string;
}

export interface WireParty {
  readonly cluster: string;
  readonly id: string;
  readonly incarnation: string;
}

/** Exactly one field is present in a frame that is valid. */
export interface WireProofFrame {
  readonly opening?: { readonly nonce: Uint8Array; readonly dialer: WireParty | null } | null;
  readonly challenge?: { readonly nonce: Uint8Array; readonly listener: WireParty | null } | null;
  readonly answer?: { readonly proofs: readonly Uint8Array[] } | null;
  readonly acceptance?: { readonly proof: Uint8Array } | null;
  readonly refusal?: { readonly code: string } | null;
}

export interface WireHello {
  readonly identity: WireIdentity | null;
  readonly initialCluster: string;
}

export interface WireFailure {
  readonly code: string;
  readonly detail: string;
  readonly dataJson: string;
}

export interface WireVoteRequest {
  readonly term: number;
  readonly preVote: boolean;
  readonly lastLogIndex: number;
  readonly lastLogTerm: number;
  readonly leadershipTransfer: boolean;
}

export interface WireVoteResponse {
  readonly term: number;
  readonly preVote: boolean;
  readonly granted: boolean;
  readonly removed: boolean;
}

export interface WireList<Wire> {
  readonly messages: readonly Wire[];
}

export interface WireAppendRequest {
  readonly term: number;
  readonly previousIndex: number;
  readonly previousTerm: number;
  readonly commitIndex: number;
  readonly entries: Uint8Array;
}

export interface WireAppendResponse {
  readonly term: number;
  readonly success: boolean;
  readonly matchIndex: number;
  readonly rejectedIndex: number;
  readonly hintIndex: number;
  readonly hintTerm: number;
  /** Absent or empty: no refusal. */
  readonly refusal?: string;
}

export interface WireHeartbeatRequest {
  readonly term: number;
  readonly round: number;
  readonly commitIndex: number;
  readonly catchUpIndex?: number;
}

export interface WireHeartbeatResponse {
  readonly term: number;
  readonly round: number;
  readonly lowSpace?: boolean;
}

export interface WireSnapshotHeader {
  readonly term: number;
  readonly index: number;
  readonly indexTerm: number;
  readonly configuration: Uint8Array;
  /** '' from a program that does not know the field. */
  readonly cluster: string;
}

export interface WireSnapshotChunk {
  readonly header: WireSnapshotHeader | null;
  readonly data: Uint8Array;
  readonly end: boolean;
}

export interface WireSnapshotResponse {
  readonly term: number;
  readonly success: boolean;
  readonly matchIndex: number;
  readonly failure: WireFailure | null;
}

export interface WireForwardRequest {
  readonly operation: string;
  readonly payload: Uint8Array;
  readonly timeoutMs: number;
}

export const wire = {
  proofFrame: codec<WireProofFrame>('ProofFrame'),
  introduction: codec<WireIntroduction>('Introduction'),
  handshakeRequest: codec<{ readonly hello: WireHello | null }>('HandshakeRequest'),
  handshakeResponse: codec<{ readonly hello: WireHello | null; readonly failure: WireFailure | null }>(
    'HandshakeResponse',
  ),
  voteRequest: codec<WireVoteRequest>('VoteRequest'),
  voteResponse: codec<WireVoteResponse>('VoteResponse'),
  appendRequests: codec<WireList<WireAppendRequest>>('AppendRequests'),
  appendResponses: codec<WireList<WireAppendResponse>>('AppendResponses'),
  heartbeatRequests: codec<WireList<WireHeartbeatRequest>>('HeartbeatRequests'),
  heartbeatResponses: codec<WireList<WireHeartbeatResponse>>('HeartbeatResponses'),
  snapshotChunk: codec<WireSnapshotChunk>('SnapshotChunk'),
  snapshotResponse: codec<WireSnapshotResponse>('SnapshotResponse'),
  timeoutNowRequest: codec<{ readonly term: number }>('TimeoutNowRequest'),
  timeoutNowResponse: codec<Record<string, never>>('TimeoutNowResponse'),
  forwardRequest: codec<WireForwardRequest>('ForwardRequest'),
  forwardResponse: codec<{ readonly payload: Uint8Array; readonly failure: WireFailure | null }>(
    'ForwardResponse',
  ),
};

/** Bytes in, the same bytes out: what gRPC is given for a serialiser. */
export const untouched = (bytes: Buffer): Buffer => bytes;

export type MethodName =
  | 'Handshake'
  | 'RequestVote'
  | 'AppendEntries'
  | 'Heartbeat'
  | 'InstallSnapshot'
  | 'TimeoutNow'
  | 'Forward';

export interface Method {
  /** `/package.Service/Method`, as HTTP/2 names it. */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: typeof untouched;
  readonly requestDeserialize: typeof untouched;
  readonly responseSerialize: typeof untouched;
  readonly responseDeserialize: typeof untouched;
}

/** The service as gRPC wants it: paths and kinds of calls from the proto, bytes untouched. */
export const service: Readonly<Record<MethodName, Method>> = readService();

function readService(): Record<MethodName, Method> {
  const raft = root.lookupService('raftkv.Raft');
  const method = (name: MethodName): Method => {
    const { requestStream, responseStream } = present(
      raft.methods[name],
      () => `The service has a method ${name}.`,
    );
    return {
      path: `/raftkv.Raft/${name}`,
      requestStream: requestStream === true,
      responseStream: responseStream === true,
      requestSerialize: untouched,
      requestDeserialize: untouched,
      responseSerialize: untouched,
      responseDeserialize: untouched,
    };
  };
  return {
    Handshake: method('Handshake'),
    RequestVote: method('RequestVote'),
    AppendEntries: method('AppendEntries'),
    Heartbeat: method('Heartbeat'),
    InstallSnapshot: method('InstallSnapshot'),
    TimeoutNow: method('TimeoutNow'),
    Forward: method('Forward'),
  };
}
