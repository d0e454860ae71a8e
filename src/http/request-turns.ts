import type { Socket } from 'node:net';

/** How long requests are begun in one turn of the event loop: heartbeats, timers and other clients wait for its end. */
const TURN_MS = 10;

/** A request that has come; an exchange. */
export interface Startable {
  begin(): void;
}

/**
 * Begins requests as they come, and spreads those of clients that send many at once over turns of the event loop. What arrives
 * in one piece is read in one turn: 64 KiB are 1,700 short requests, which held up everything else for half a second and more.
 * The requests of one connection begin in their order, and connections take turns.
 */
export class RequestTurns {
  readonly #now: () => number;
  readonly #soon: (task: () => void) => void;
  readonly #waiting = new Map<Socket, Startable[]>();
  /** To be called when the turn ends. */
  #atEnd: (() => void)[] = [];
  #endsAtMs = 0;
  #isCounting = false;

  /** @param soon Runs a task in another turn of the event loop. */
  constructor(now = () => performance.now(), soon: (task: () => void) => void = setImmediate) {
    this.#now = now;
    this.#soon = soon;
  }

  /**
   * Begins a request in this turn, or in a later one where this one has taken its time.
   *
   * @param nowMs A reading of the clock a moment ago.
   */
  begin(socket: Socket, nowMs: number, request: Startable): void {
    if (!this.#isCounting) {
      this.#count(nowMs);
    } else if (nowMs >= this.#endsAtMs || this.#waiting.size > 0) {
      const queue = this.#waiting.get(socket);
      if (queue !== undefined) {
        queue.push(request);
        return;
      }
      if (nowMs >= this.#endsAtMs) {
        this.#waiting.set(socket, [request]);
        return;
      }
    }
    request.begin();
  }

  /** Calls back when this turn ends: when all that arrived in it was looked at. */
  atEnd(task: () => void): void {
    if (!this.#isCounting) this.#count(this.#now());
    this.#atEnd.push(task);
  }

  /** A turn begins, and ends when the event loop comes to the next one. */
  #count(nowMs: number): void {
    this.#isCounting = true;
    this.#endsAtMs = nowMs + TURN_MS;
    this.#soon(() => {
      this.#isCounting = false;
      if (this.#atEnd.length > 0) this.#end();
      if (this.#waiting.size > 0) this.#beginSome();
    });
  }

  #end(): void {
    const tasks = this.#atEnd;
    this.#atEnd = [];
    for (const task of tasks) task();
  }

  #beginSome(): void {
    const nowMs = this.#now();
    this.#count(nowMs);
    while (this.#waiting.size > 0 && this.#now() < this.#endsAtMs) {
      for (const [socket, queue] of [...this.#waiting]) {
        // A connection that has more goes behind the others.
        this.#waiting.delete(socket);
        const request = queue.shift();
        if (queue.length > 0) this.#waiting.set(socket, queue);
        request?.begin();
        if (this.#now() >= this.#endsAtMs) break;
      }
    }
  }
}
