import { setMaxListeners } from 'node:events';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { after, every, type Timer } from '../clock.js';
import { RaftkvError } from '../errors.js';
import type { ByteBudget } from './byte-budget.js';

/**
 * How long requests under way may still be answered after their client has closed its side of the connection. A client
 * that only half-closes still reads; nobody can tell it from one that has left, so what takes longer is given up.
 */
const halfClosedMs = 1_000;

/** A client that takes nothing of what waits for it for so long is cut off, so that nobody's memory is held for it. */
const stalledMsDefault = 30_000;
/** A connection on which nothing is asked for so long is ended. */
const idleMsDefault = 72_000;
/** How many times in the shorter of these periods connections are looked at. */
const looksPerPeriod = 6;
/** At the bound, idle connections are ended this often. */
const sweepMs = 1_000;
/** Connections that are refused at a time with an answer; more are closed without. */
const refusedAtOnceMax = 16;

/** One for all: making an error for every connection that ends would cost more than the rest of it. */
const clientLeft = new RaftkvError(
  'unavailable',
  'The client closed its side of the connection before the answer was there. Ask again, and keep it open.',
);

/** Where a socket keeps its connection: looking it up in a map takes longer, and every request asks. */
const connectionOf = Symbol('connection');

interface FollowedSocket extends Socket {
  [connectionOf]?: Connection;
}

/**
 * The open connections of one server. A connection's signal tells what waits for its client that the client has left. What is
 * held in memory for a connection counts against one budget until it is released, or the connection is gone.
 */
export class Connections {
  readonly #open = new Map<Socket, Connection>();
  readonly #budget: ByteBudget;
  readonly #stalledMs: number;
  readonly #idleMs: number;
  readonly #lookMs: number;
  #stalled = 0;
  #sweptAtMs = Number.NEGATIVE_INFINITY;
  /** Connections on which nothing had been sent at the last sweep. */
  #unused: readonly Socket[] = [];
  /** Connections that were refused because too many were open. */
  refused = 0;

  /**
   * @param stalledMs How long a client may take nothing of an answer that waits for it; 30 s unless told otherwise.
   * @param idleMs How long a connection may be idle; 72 s unless told otherwise.
   */
  constructor(budget: ByteBudget, stalledMs = stalledMsDefault, idleMs = idleMsDefault) {
    this.#budget = budget;
    this.#stalledMs = stalledMs;
    this.#idleMs = idleMs;
    this.#lookMs = Math.min(stalledMs, idleMs) / looksPerPeriod;
  }

  /** How many connections were ended because their client took nothing. */
  get stalled(): number {
    return this.#stalled;
  }

  /** Keeps the connections of this server until it closes. */
  follow(server: Server): void {
    // Node would start and stop a timer for every request.
    server.keepAliveTimeout = 0;
    server.on('connection', (socket) => this.#add(socket));
    let timer: Timer | undefined;
    server.on('listening', () => {
      timer = every(this.#lookMs, () => this.#endThoseThatRest());
    });
    server.on('close', () => timer?.cancel());
  }

  /** Aborted, with a `RaftkvError` as the reason, when the client has left: when its connection is gone, or a second after it closed its side. */
  signalOf(socket: FollowedSocket): AbortSignal {
    // Tests make requests without a connection.
    return socket[connectionOf]?.left ?? (socket.destroyed ? gone : never);
  }

  /** Counts bytes as held for this connection. Throws `overloaded` where they are too many, unless they are held already. */
  hold(socket: Socket, bytes: number, isThere: boolean): void {
    const connection = this.#open.get(socket);
    if (connection === undefined) return;
    if (isThere) this.#budget.add(bytes);
    else this.#budget.take(bytes);
    connection.heldBytes += bytes;
  }

  /** Whether nothing is held for this connection. */
  isUnburdened(socket: Socket): boolean {
    return (this.#open.get(socket)?.heldBytes ?? 0) === 0;
  }

  /** Takes back a {@link hold}. */
  release(socket: Socket, bytes: number): void {
    const connection = this.#open.get(socket);
    if (connection === undefined) return;
    connection.heldBytes -= bytes;
    this.#budget.give(bytes);
  }

  /**
   * Keeps the number of connections within a bound from now on, after {@link follow}. At the bound those go first that are idle and not of this
   * moment; where none is, `refuse` answers the new one.
   */
  limit(server: Server, connectionsMax: number, refuse: (socket: Socket) => void): void {
    // What is refused needs a descriptor as well until it has its answer.
    server.maxConnections = connectionsMax + refusedAtOnceMax;
    server.on('drop', () => {
      this.refused += 1;
    });
    // The server must not read from a connection that is refused: it would do what is asked there.
    const serve = server.listeners('connection');
    server.removeAllListeners('connection');
    server.on('connection', (socket) => {
      if (this.#open.size < connectionsMax || this.#endIdle(server)) {
        for (const listener of serve) listener.call(server, socket);
        return;
      }
      this.refused += 1;
      refuse(socket);
    });
  }

  /** Returns whether a connection was ended. At most once in {@link sweepMs}, because all of them are looked at. */
  #endIdle(server: Server): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#sweptAtMs < sweepMs) return false;
    this.#sweptAtMs = nowMs;
    // A client that has just connected is about to send something.
    for (const socket of this.#unused) if (socket.bytesRead === 0) socket.destroy();
    const open = [...this.#open.keys()];
    this.#unused = open.filter((socket) => socket.bytesRead === 0 && !socket.destroyed);
    // Clients that come back are worth more than those that never spoke.
    if (this.#unused.length === 0) server.closeIdleConnections();
    return open.some((socket) => socket.destroyed);
  }

  /** Ends the connections on which nothing has been sent, such as those that browsers open ahead; Node does not count them as idle. */
  endUnused(): void {
    for (const socket of this.#open.keys()) if (socket.bytesRead === 0) socket.destroy();
  }

  #add(socket: FollowedSocket): void {
    const leaving = new AbortController();
    // A client may pipeline any number of requests.
    setMaxListeners(0, leaving.signal);
    const connection: Connection = {
      left: leaving.signal,
      hasLeft: false,
      heldBytes: 0,
      takenBytes: 0,
      waitsSinceMs: undefined,
      readBytes: 0,
      idleLooks: 0,
    };
    this.#open.set(socket, connection);
    socket[connectionOf] = connection;
    let halfClosed: Timer | undefined;
    socket.once('end', () => {
      halfClosed = after(halfClosedMs, () => leaving.abort(clientLeft));
    });
    socket.once('close', () => {
      halfClosed?.cancel();
      this.#open.delete(socket);
      this.#budget.give(connection.heldBytes);
      leaving.abort(clientLeft);
    });
  }

  /** Ends connections whose client takes nothing of what waits for it, has left, or asks for nothing. */
  #endThoseThatRest(): void {
    const nowMs = performance.now();
    for (const [socket, connection] of this.#open) {
      const takenBytes = takenOf(socket);
      if (takenBytes === undefined) {
        connection.waitsSinceMs = undefined;
        if (this.#isLongIdle(socket, connection)) socket.destroy();
        // Whatever was waited for is given up by now, so nothing ends a connection of which the client has closed its side.
        if (connection.hasLeft) socket.destroy();
        connection.hasLeft = connection.left.aborted;
      } else if (connection.waitsSinceMs === undefined || takenBytes > connection.takenBytes) {
        connection.takenBytes = takenBytes;
        connection.waitsSinceMs = nowMs;
      } else if (nowMs - connection.waitsSinceMs >= this.#stalledMs) {
        this.#stalled += 1;
        socket.destroy();
      }
    }
  }

  #isLongIdle(socket: Socket, connection: Connection): boolean {
    const { bytesRead } = socket;
    // Node ends those on which nothing came yet.
    if (bytesRead === 0 || bytesRead !== connection.readBytes || isAnswering(socket)) {
      connection.readBytes = bytesRead;
      connection.idleLooks = 0;
      return false;
    }
    // What has arrived while this process was held up is read between two looks, so these are counted and not the time.
    connection.idleLooks += 1;
    return connection.idleLooks * this.#lookMs >= this.#idleMs;
  }
}

interface Connection {
  /** Aborted when the client has left. */
  readonly left: AbortSignal;
  /** Whether the client had left at the last look. */
  hasLeft: boolean;
  heldBytes: number;
  /** How far the kernel had come when it last took something of what waits, and since when it has come no further. */
  takenBytes: number;
  waitsSinceMs: number | undefined;
  /** What had come from the client at the last look, and at how many looks nothing more had come and nothing was asked for. */
  readBytes: number;
  idleLooks: number;
}

/** Whether a request is under way on this connection. Node keeps the answer whose turn it is here. */
function isAnswering(socket: Socket): boolean {
  const { _httpMessage: response } = socket as { readonly _httpMessage?: object | null };
  return response !== undefined && response !== null;
}

/** How far the kernel has come with what was written; undefined where it has taken all of it. */
function takenOf(socket: Socket): number | undefined {
  if (socket.writableLength === 0) return undefined;
  // Of a write that the kernel has taken a part of, Node tells only through the handle.
  const { _handle: handle } = socket as { readonly _handle?: { readonly writeQueueSize?: number } | null };
  return socket.bytesWritten - socket.writableLength - (handle?.writeQueueSize ?? 0);
}

const gone = AbortSignal.abort(clientLeft);
const never = new AbortController().signal;
setMaxListeners(0, never);
