import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { NodeId } from '../raft/types.js';
import type { Route } from './messages.js';
import { Outgoing } from './outgoing.js';

/** A stream that a peer opened. */
export interface ServedStream {
  readonly route: Route;
  /** Of the incarnation that opened it. */
  readonly key: string;
  readonly call: ServerDuplexStream<Buffer, Buffer>;
  readonly outgoing: Outgoing;
}

/**
 * The streams of one kind that peers opened, one for each incarnation of each name: a member that was removed and still
 * runs must not break the streams of the new node of its name (correctness rule 17).
 *
 * An answer names only the node that asked, so it goes to the incarnation that asked last. Two of one name hardly ever ask
 * for the same thing at one time, because only leaders do; should they, an answer that comes to the wrong one is lost, as
 * any may be.
 */
export class ServedStreams {
  /** By key. */
  readonly #newest = new Map<string, ServedStream>();
  /** The key of the incarnation of each name that asked last. */
  readonly #asking = new Map<NodeId, string>();

  add(route: Route, call: ServerDuplexStream<Buffer, Buffer>): ServedStream {
    const key = `${route.from} ${route.fromIncarnation}`;
    const stream = { route, key, call, outgoing: new Outgoing((bytes, done) => call.write(bytes, done)) };
    // Nothing that the peer wrote before it opened this stream may come after what it writes now.
    this.#newest.get(key)?.call.end();
    this.#newest.set(key, stream);
    if (this.answering(route.from) === undefined) this.asked(stream);
    return stream;
  }

  /** Whether the peer has not opened another in its place, and it was not removed. */
  has(stream: ServedStream): boolean {
    return this.#newest.get(stream.key) === stream;
  }

  remove(stream: ServedStream): void {
    if (!this.has(stream)) return;
    const { key, route } = stream;
    this.#newest.delete(key);
    // Names come from the network, so none is kept for longer than a stream of it.
    if (this.#asking.get(route.from) === key) this.#asking.delete(route.from);
  }

  /** Something came over this stream. */
  asked({ route, key }: ServedStream): void {
    this.#asking.set(route.from, key);
  }

  /** The stream for answers to the node of this name. */
  answering(id: NodeId): ServedStream | undefined {
    return this.#newest.get(this.#asking.get(id) ?? '');
  }

  endAll(): void {
    for (const { call } of this.#newest.values()) call.end();
    this.#newest.clear();
  }
}
