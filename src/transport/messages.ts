import { decodeConfiguration, encodeConfiguration } from '../raft/configuration.js';
import { decodeEntries, encodeEntries } from '../raft/entry-codec.js';
import type {
  AppendEntries,
  AppendEntriesResponse,
  Envelope,
  Heartbeat,
  HeartbeatResponse,
  RequestVote,
  RequestVoteResponse,
  TimeoutNow,
} from '../raft/types.js';
import type { SnapshotAnswer, SnapshotHeader } from './contract.js';
import { type WireSnapshotHeader, type WireSnapshotResponse, wire } from './wire.js';

/**
 * The core's messages as bytes and back. What an envelope says about sender and recipient was said once, when the
 * stream was opened; a decoder is given it as {@link Route}. Decoders throw an Error for bytes that are no such
 * message.
 */
export type Route = Pick<Envelope, 'from' | 'fromIncarnation' | 'to'>;

const SENTENCE_LENGTH_MAX = 500;

export const encodeAppend = (message: AppendEntries): Buffer =>
  wire.appendRequests.encode({
    messages: [
      {
        term: message.term,
        previousIndex: message.previousIndex,
        previousTerm: message.previousTerm,
        commitIndex: message.commitIndex,
        entries: encodeEntries(message.entries),
      },
    ],
  });

export function decodeAppends(
  bytes: Uint8Array,
  { from, fromIncarnation, to }: Route,
): readonly AppendEntries[] {
  return wire.appendRequests.decode(bytes).messages.map((sent) => ({
    type: 'appendEntries',
    from,
    fromIncarnation,
    to,
    term: counter(sent.term),
    previousIndex: counter(sent.previousIndex),
    previousTerm: counter(sent.previousTerm),
    entries: decodeEntries(sent.entries),
    commitIndex: counter(sent.commitIndex),
  }));
}

export const encodeAppendResponse = (message: AppendEntriesResponse): Buffer =>
  wire.appendResponses.encode({ messages: [message] });

export function decodeAppendResponses(
  bytes: Uint8Array,
  { from, fromIncarnation, to }: Route,
): readonly AppendEntriesResponse[] {
  return wire.appendResponses.decode(bytes).messages.map((sent) => {
    const message: AppendEntriesResponse = {
      type: 'appendEntriesResponse',
      from,
      fromIncarnation,
      to,
      term: counter(sent.term),
      success: sent.success,
      matchIndex: counter(sent.matchIndex),
      rejectedIndex: counter(sent.rejectedIndex),
      hintIndex: counter(sent.hintIndex),
      hintTerm: counter(sent.hintTerm),
    };
    return sent.refusal ? { ...message, refusal: sentence(sent.refusal) } : message;
  });
}

export const encodeHeartbeat = (message: Heartbeat): Buffer =>
  wire.heartbeatRequests.encode({ messages: [message] });

export function decodeHeartbeats(
  bytes: Uint8Array,
  { from, fromIncarnation, to }: Route,
): readonly Heartbeat[] {
  return wire.heartbeatRequests.decode(bytes).messages.map((sent) => ({
    type: 'heartbeat',
    from,
    fromIncarnation,
    to,
    term: counter(sent.term),
    round: counter(sent.round),
    commitIndex: counter(sent.commitIndex),
    catchUpIndex: counter(sent.catchUpIndex ?? 0),
  }));
}

export const encodeHeartbeatResponse = (message: HeartbeatResponse): Buffer =>
  wire.heartbeatResponses.encode({ messages: [message] });

export function decodeHeartbeatResponses(
  bytes: Uint8Array,
  { from, fromIncarnation, to }: Route,
): readonly HeartbeatResponse[] {
  return wire.heartbeatResponses.decode(bytes).messages.map((sent) => ({
    type: 'heartbeatResponse',
    from,
    fromIncarnation,
    to,
    term: counter(sent.term),
    round: counter(sent.round),
    ...(sent.lowSpace === true ? { lowSpace: true } : {}),
  }));
}

export const encodeVote = (message: RequestVote): Buffer => wire.voteRequest.encode(message);

export function decodeVote(
  bytes: Uint8Array,
  { from, fromIncarnation, to }: Route,
  call: number,
): RequestVote {
  const sent = wire.voteRequest.decode(bytes);
  return {
    type: 'requestVote',
    from,
    fromIncarnation,
    to,
    term: counter(sent.term),
    preVote: sent.preVote,
    lastLogIndex: counter(sent.lastLogIndex),
    lastLogTerm: counter(sent.lastLogTerm),
    leadershipTransfer: sent.leadershipTransfer,
    call,
  };
}

export const encodeVoteResponse = (message: RequestVoteResponse): Buffer => wire.voteResponse.encode(message);

export function decodeVoteResponse(
  bytes: Uint8Array,
  { from, fromIncarnation, to }: Route,
  call: number,
): RequestVoteResponse {
  const sent = wire.voteResponse.decode(bytes);
  return {
    type: 'requestVoteResponse',
    from,
    fromIncarnation,
    to,
    term: counter(sent.term),
    preVote: sent.preVote,
    granted: sent.granted,
    removed: sent.removed,
    call,
  };
}

export const encodeTimeoutNow = (message: TimeoutNow): Buffer => wire.timeoutNowRequest.encode(message);

export function decodeTimeoutNow(bytes: Uint8Array, { from, fromIncarnation, to }: Route): TimeoutNow {
  const sent = wire.timeoutNowRequest.decode(bytes);
  return { type: 'timeoutNow', from, fromIncarnation, to, term: counter(sent.term) };
}

export const encodeSnapshotHeader = (
  { term, snapshot }: SnapshotHeader,
  cluster: string,
): WireSnapshotHeader => ({
  cluster,
  term,
  index: snapshot.index,
  indexTerm: snapshot.term,
  configuration: encodeConfiguration(snapshot.configuration),
});

export function decodeSnapshotHeader(
  sent: WireSnapshotHeader,
  { from, fromIncarnation, to }: Route,
): SnapshotHeader {
  return {
    from,
    fromIncarnation,
    to,
    term: counter(sent.term),
    snapshot: {
      index: counter(sent.index),
      term: counter(sent.indexTerm),
      configuration: decodeConfiguration(sent.configuration),
    },
  };
}

export function decodeSnapshotAnswer(sent: WireSnapshotResponse): SnapshotAnswer {
  return { success: sent.success, matchIndex: counter(sent.matchIndex), term: counter(sent.term) };
}

/** A peer's sentence, as it may be written to a log. */
function sentence(text: string): string {
  return text.slice(0, SENTENCE_LENGTH_MAX).replace(/[^\x20-\x7e]/g, '?');
}

/** A term, an index or a round from the wire; see the head of raft.proto. */
function counter(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new Error(`${value} is no term, index or round: these are safe integers from 0 on.`);
  }
  return value;
}
