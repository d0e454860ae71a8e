import { setMaxListeners } from 'node:events';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { after, type Timer } from '../clock.js';
import { RaftkvError } from '../errors.js';

/**
 * How long requests under way may still be answered after their client has closed its side of the connection. A client
 * that only half-closes still reads; nobody can tell it from one that has left, so what takes longer is given up.
 */
const halfClosedMs = 1_000;

/** One for all: making an error for every connection that ends would cost more than the rest of it. */
const clientLeft = new RaftkvError(
  'unavailable',
  'The client closed its side of the connection before the answer was there. Ask again, and keep it open.',
);

/** The open connections of one server. A connection's signal tells what waits for its client that the client has left. */
export class Connections {
  readonly #open = new Map<Socket, AbortController>();

  /** Keeps the connections of this server from now on. */
  follow(server: Server): void {
    server.on('connection', (socket) => {
      const left = new AbortController();
      // A client may pipeline any number of requests.
      setMaxListeners(0, left.signal);
      this.#open.set(socket, left);
      let halfClosed: Timer | undefined;
      socket.once('end', () => {
        halfClosed = after(halfClosedMs, () => left.abort(clientLeft));
      });
      socket.once('close', () => {
        halfClosed?.cancel();
        this.#open.delete(socket);
        left.abort(clientLeft);
      });
    });
  }

  /** Aborted, with a `RaftkvError` as the reason, when the client has left: when its connection is gone, or a second after it closed its side. */
  signalOf(socket: Socket): AbortSignal {
    // A socket that is not known is gone, or was never one: tests make requests without.
    return this.#open.get(socket)?.signal ?? (socket.destroyed ? gone : never);
  }

  /** Ends the connections on which nothing has been sent, such as those that browsers open ahead; Node does not count them as idle. */
  endUnused(): void {
    for (const socket of this.#open.keys()) if (socket.bytesRead === 0) socket.destroy();
  }
}

const gone = AbortSignal.abort(clientLeft);
const never = new AbortController().signal;
