import type { ClientWritableStream, Metadata, ServerReadableStream } from '@grpc/grpc-js';
import { systemClock, type Timer } from '../clock.js';
import { RaftkvError } from '../errors.js';
import { objectionTo } from './connection.js';
import type { SnapshotAnswer, SnapshotHeader } from './contract.js';
import { Dial, type Target } from './dial.js';
import { errorOf } from './failure.js';
import { readIntroduction } from './introduction.js';
import {
  OPEN_TIMEOUT_MS,
  SNAPSHOT_CHUNK_BYTES_MAX,
  SNAPSHOT_CHUNK_TIMEOUT_MS,
  SNAPSHOT_HEADER_TIMEOUT_MS,
} from './limits.js';
import type { LocalNode } from './local-node.js';
import { decodeSnapshotAnswer, decodeSnapshotHeader, encodeSnapshotHeader, type Route } from './messages.js';
import { shownDetail } from './validation.js';
import { service, untouched, type WireSnapshotChunk, type WireSnapshotHeader, wire } from './wire.js';

const NOTHING = new Uint8Array();

/**
 * Sends one snapshot over a connection of its own, which is closed afterwards: a snapshot is rare and large, so the
 * cost of connecting is nothing, and neither appends nor heartbeats wait behind it.
 *
 * One chunk is under way at a time: the next is pulled when gRPC has passed the last one on, which waits for the
 * peer's flow-control window, so a slow peer slows down the reading of the snapshot.
 */
export async function sendSnapshot(
  target: Target,
  local: LocalNode,
  introduction: Metadata,
  header: SnapshotHeader,
  chunks: AsyncIterable<Uint8Array>,
  abort: AbortSignal,
): Promise<SnapshotAnswer> {
  const abandoned = () =>
    new RaftkvError('unavailable', `The snapshot for ${target.id} was abandoned by this node.`);
  if (abort.aborted) throw abandoned();
  const dial = new Dial(target, local);
  const sending = new SnapshotCall(
    (done) =>
      dial.client.makeClientStreamRequest(
        service.InstallSnapshot.path,
        untouched,
        untouched,
        introduction,
        done,
      ),
    target,
    dial,
  );
  const onAbort = () => sending.cancel();
  abort.addEventListener('abort', onAbort, { once: true });
  try {
    // The peer may answer before the end: a refusal needs no content.
    const encoded = encodeSnapshotHeader(header, local.identity().cluster);
    return await Promise.race([sending.answer, sending.send(encoded, chunks).then(() => sending.answer)]);
  } catch (error) {
    throw abort.aborted ? abandoned() : error;
  } finally {
    abort.removeEventListener('abort', onAbort);
    sending.cancel();
    dial.close();
  }
}

/** The sending side of one InstallSnapshot call. */
class SnapshotCall {
  /** Settles when the call ends, in every case. */
  readonly answer: Promise<SnapshotAnswer>;
  readonly #call: ClientWritableStream<Buffer>;
  /** Resolves when the peer introduced itself and is the right one, or when the call ends. */
  readonly #opened: Promise<void>;
  #ended = false;
  /** Lets the writer go on. */
  #resume: () => void = () => {};

  constructor(
    open: (done: (error: Error | null, answer?: Buffer) => void) => ClientWritableStream<Buffer>,
    target: Target,
    dial: Dial,
  ) {
    const answer = resolvable<SnapshotAnswer>();
    const opened = resolvable<void>();
    this.answer = answer.promise;
    this.#opened = opened.promise;
    let objection = '';
    const timeout = systemClock.after(OPEN_TIMEOUT_MS, () => this.#call.cancel());
    this.#call = open((error, bytes) => {
      timeout.cancel();
      this.#ended = true;
      opened.resolve();
      this.#resume();
      try {
        if (objection !== '') throw new RaftkvError('unavailable', objection);
        if (error || bytes === undefined) {
          const why = dial.objection || shownDetail(error?.message ?? 'no answer');
          throw new RaftkvError('unavailable', `The snapshot for ${target.id} broke off: ${why}.`);
        }
        answer.resolve(readAnswer(bytes));
      } catch (failed) {
        answer.reject(failed);
      }
    });
    this.#call.on('metadata', (answered: Metadata) => {
      timeout.cancel();
      objection = objectionTo(readIntroduction(answered), target, dial);
      if (objection !== '') this.#call.cancel();
      else opened.resolve();
    });
  }

  /** Sends everything, or stops early when the call ends; then `answer` says why. Rejects as `chunks` does. */
  async send(header: WireSnapshotHeader, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    // Nothing is read for a peer that may not be there.
    await this.#opened;
    await this.#write({ header, data: NOTHING, end: false });
    if (this.#ended) return;
    for await (const chunk of chunks) {
      for (let start = 0; start < chunk.length; start += SNAPSHOT_CHUNK_BYTES_MAX) {
        const data = chunk.subarray(start, start + SNAPSHOT_CHUNK_BYTES_MAX);
        await this.#write({ header: null, data, end: false });
      }
      if (this.#ended) return;
    }
    await this.#write({ header: null, data: NOTHING, end: true });
    this.#call.end();
  }

  cancel(): void {
    if (!this.#ended) this.#call.cancel();
  }

  /** Resolves when gRPC has passed the chunk on, or will never do so because the call is over. */
  #write(chunk: WireSnapshotChunk): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      this.#resume = resolve;
      this.#call.write(wire.snapshotChunk.encode(chunk), () => resolve());
    });
  }
}

function resolvable<Value>() {
  let resolve: (value: Value) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<Value>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

function readAnswer(bytes: Buffer): SnapshotAnswer {
  const answer = wire.snapshotResponse.decode(bytes);
  if (answer.failure !== null) throw errorOf(answer.failure);
  return decodeSnapshotAnswer(answer);
}

/**
 * The receiving side of a snapshot: its header, and its content as it arrives. The content is pulled, so a slow reader
 * pauses the stream and with it the sender; it throws a `RaftkvError` when the stream breaks or stands still, and ends
 * only when all of it is there. Rejects when the stream does not begin, within its time, with the header of a snapshot
 * of this node's cluster.
 */
export async function receiveSnapshot(
  call: ServerReadableStream<Buffer, Buffer>,
  route: Route,
  local: LocalNode,
): Promise<{ readonly header: SnapshotHeader; readonly chunks: AsyncIterable<Uint8Array> }> {
  // The call outlives its content: the answer is still to come.
  const messages = call.iterator({ destroyOnReturn: false });
  const { header } = await nextChunk(messages, route, SNAPSHOT_HEADER_TIMEOUT_MS);
  if (header === null) throw new RaftkvError('bad_request', 'A snapshot begins with a header.');
  requireCluster(header.cluster, route, local);
  return { header: decodeSnapshotHeader(header, route), chunks: contentOf(messages, route) };
}

/** Only a program of cluster version 1 does not say whose state it sends. */
function requireCluster(cluster: string, { from }: Route, { identity, clusterVersion }: LocalNode): void {
  const me = identity();
  if (cluster === me.cluster || (cluster === '' && clusterVersion() < 2)) return;
  const whose = cluster === '' ? 'an unknown cluster' : `cluster ${shownDetail(cluster)}`;
  throw new RaftkvError(
    'identity_conflict',
    `The snapshot from ${from} is of ${whose}; ${me.id} is in cluster ${me.cluster}.`,
  );
}

async function* contentOf(messages: AsyncIterator<Buffer>, route: Route): AsyncIterable<Uint8Array> {
  for (;;) {
    const { data, end } = await nextChunk(messages, route, SNAPSHOT_CHUNK_TIMEOUT_MS);
    if (end) return;
    yield data;
  }
}

async function nextChunk(
  messages: AsyncIterator<Buffer>,
  { from }: Route,
  timeoutMs: number,
): Promise<WireSnapshotChunk> {
  const broken = new RaftkvError('unavailable', `The snapshot from ${from} broke off before its end.`);
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    const seconds = timeoutMs / 1000;
    timer = systemClock.after(timeoutMs, () => {
      reject(new RaftkvError('unavailable', `The snapshot from ${from} stood still for ${seconds} s.`));
    });
  });
  const following = messages.next().catch(() => {
    throw broken;
  });
  const next = await Promise.race([following, late]).finally(() => timer?.cancel());
  if (next.done === true) throw broken;
  return wire.snapshotChunk.decode(next.value);
}
