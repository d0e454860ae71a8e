import type { IncomingMessage } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { after } from '../clock.js';
import type { RaftkvError } from '../errors.js';
import { hasBody } from './body.js';
import type { NodePort } from './port.js';
import { parseDurationMs, timeoutMsDefault } from './query.js';
import type { Target } from './target.js';

/** Requests that are held at a time; more are refused at once. As many as there may be watches, which all come back together. */
const HELD_MAX = 20_000;
/** Among them, requests with a body, of which up to 64 KiB wait in memory. */
const HELD_BODIES_MAX = 1_000;
/** How many go on in one turn of the event loop. */
const RESUMED_PER_TURN = 64;

/** A request that may wait; an exchange. */
export interface Holdable {
  readonly request: IncomingMessage;
  readonly target: Target;
  readonly signal: AbortSignal;
  remainingMs(timeoutMs: number): number;
  fail(error: unknown): void;
}

interface Held {
  readonly exchange: Holdable;
  /** Ends the waiting. */
  release(): void;
  resume(): void;
}

/**
 * Requests that came while this node starts, or while no leader is known: elections take a third of a second, and a browser
 * whose watch is refused never asks again. They are tried again when that changes, and refused when their time is up.
 */
export class HeldRequests {
  private readonly all = new Set<Held>();
  private bodies = 0;

  constructor(port: NodePort, closing: AbortSignal) {
    port.onRouteChange(() => void this.resumeAll());
    closing.addEventListener('abort', () => {
      for (const held of this.all) {
        held.release();
        held.exchange.fail(closing.reason);
      }
    });
  }

  /** Returns false where the request cannot wait. Otherwise calls `resume`, or answers with the refusal. */
  hold(exchange: Holdable, refusal: RaftkvError, resume: () => void): boolean {
    const withBody = hasBody(exchange.request);
    const leftMs = exchange.remainingMs(timeoutMsOf(exchange));
    if (this.all.size >= HELD_MAX || (withBody && this.bodies >= HELD_BODIES_MAX) || leftMs <= 1)
      return false;
    const { signal } = exchange;
    if (signal.aborted) return false;
    const release = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', leave);
      if (this.all.delete(held) && withBody) this.bodies -= 1;
    };
    // A client that has only closed its side still reads, and its connection ends with the answer.
    const leave = (): void => {
      release();
      exchange.fail(signal.reason);
    };
    const timer = after(leftMs, () => {
      release();
      exchange.fail(refusal);
    });
    const held: Held = { exchange, release, resume };
    this.all.add(held);
    if (withBody) this.bodies += 1;
    signal.addEventListener('abort', leave);
    return true;
  }

  private async resumeAll(): Promise<void> {
    let resumed = 0;
    for (const held of [...this.all]) {
      if (resumed % RESUMED_PER_TURN === 0) await turn();
      if (!this.all.has(held)) continue;
      resumed += 1;
      held.release();
      held.resume();
    }
  }
}

/** What the request gives itself; whether that is well-formed is for its handler to judge. */
function timeoutMsOf({ target }: Holdable): number {
  const text = /(?:^|&)timeout=([^&]*)/.exec(target.query)?.[1];
  try {
    return text === undefined ? timeoutMsDefault : parseDurationMs(text, 'timeout');
  } catch {
    return timeoutMsDefault;
  }
}
