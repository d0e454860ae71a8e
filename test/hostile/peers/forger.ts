/** Sends forged requests to one node, over connections of its own, and takes whatever comes back. */
import { type Client, type ClientDuplexStream, type ClientWritableStream, Metadata } from '@grpc/grpc-js';
import { type MethodName, service, untouched, wire } from '../../../src/transport/wire.js';
import type { Forged } from './messages.js';

const CALL_TIMEOUT_MS = 500;
/** Requests that one stream carries before another is opened. */
const STREAM_REQUESTS_MAX = 200;
/** Requests under way to one node. */
const IN_FLIGHT_MAX = 128;

export class Forger {
  /** Requests that were written, and of these the ones that a node answered without an error. */
  readonly counts = { sent: 0, answered: 0, refused: 0 };
  readonly #open: () => Client;
  #client: Client;
  readonly #streams = new Map<MethodName, { call: ClientDuplexStream<Buffer, Buffer>; left: number }>();
  #inFlight = 0;
  #resume: () => void = () => {};

  /** @param open Makes a client of the node; it is called again after a connection was refused. */
  constructor(open: () => Client) {
    this.#open = open;
    this.#client = open();
  }

  /** Resolves when there is room for another request. */
  async send({ method, bytes, introduction }: Forged): Promise<void> {
    this.counts.sent += 1;
    switch (method) {
      case 'AppendEntries':
      case 'Heartbeat':
        this.#write(method, bytes, introduction);
        break;
      case 'InstallSnapshot':
        this.#install(bytes, introduction);
        break;
      default:
        this.#call(method, bytes, introduction);
    }
    if (this.#inFlight < IN_FLIGHT_MAX) {
      await new Promise((resolve) => setImmediate(resolve));
      return;
    }
    await new Promise<void>((resolve) => {
      this.#resume = resolve;
    });
  }

  /** Goes on over a new connection. */
  reconnect(): void {
    this.close();
    this.#client = this.#open();
  }

  close(): void {
    for (const { call } of this.#streams.values()) call.cancel();
    this.#streams.clear();
    this.#client.close();
  }

  #call(method: MethodName, bytes: Buffer, introduction: Buffer): void {
    this.#began();
    this.#client.makeUnaryRequest(
      service[method].path,
      untouched,
      untouched,
      bytes,
      metadataOf(introduction),
      { deadline: Date.now() + CALL_TIMEOUT_MS },
      (error: Error | null) => this.#ended(error === null),
    );
  }

  #write(method: MethodName, bytes: Buffer, introduction: Buffer): void {
    let stream = this.#streams.get(method);
    if (stream === undefined || stream.left === 0) {
      stream?.call.end();
      const call = this.#client.makeBidiStreamRequest(
        service[method].path,
        untouched,
        untouched,
        metadataOf(introduction),
        { deadline: Date.now() + CALL_TIMEOUT_MS * 10 },
      );
      const opened = { call, left: STREAM_REQUESTS_MAX };
      call.on('data', () => {
        this.counts.answered += 1;
      });
      call.on('error', () => {
        this.counts.refused += 1;
        if (this.#streams.get(method) === opened) this.#streams.delete(method);
      });
      this.#streams.set(method, opened);
      stream = opened;
    }
    stream.left -= 1;
    stream.call.write(bytes);
  }

  /** A header, some content that is no snapshot, and in half of the cases an end. */
  #install(header: Buffer, introduction: Buffer): void {
    this.#began();
    const call: ClientWritableStream<Buffer> = this.#client.makeClientStreamRequest(
      service.InstallSnapshot.path,
      untouched,
      untouched,
      metadataOf(introduction),
      { deadline: Date.now() + CALL_TIMEOUT_MS },
      (error: Error | null) => this.#ended(error === null),
    );
    call.on('error', () => {});
    call.write(header);
    call.write(wire.snapshotChunk.encode({ header: null, data: Buffer.alloc(1000, 1), end: false }));
    if (this.counts.sent % 2 === 0) {
      call.write(wire.snapshotChunk.encode({ header: null, data: new Uint8Array(), end: true }));
    }
    call.end();
  }

  #began(): void {
    this.#inFlight += 1;
  }

  #ended(isAnswered: boolean): void {
    this.#inFlight -= 1;
    if (isAnswered) this.counts.answered += 1;
    else this.counts.refused += 1;
    this.#resume();
  }
}

function metadataOf(introduction: Buffer): Metadata {
  const metadata = new Metadata();
  metadata.set('raftkv-introduction-bin', introduction);
  return metadata;
}
