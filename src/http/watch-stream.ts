import type { ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { present } from '../assert.js';
import { after } from '../clock.js';
import { StorageDamaged } from '../errors.js';
import type { Revision, WatchEvent, Watcher, WatchPosition } from '../kv/types.js';
import type { ByteBudget } from './byte-budget.js';
import { problemOf } from './problem.js';
import { TurnBudget } from './turn-budget.js';
import { EventBytes, newlineDelimitedJson, serverSentEvents, type WatchFormat } from './watch-events.js';

/** Streams on one node; more are refused as overloaded. */
export const WATCHES_MAX = 20_000;
/** How often quiet streams are looked at. */
const SWEEP_MS = 1_000;
/** A stream that was quiet for so long gets a sign of life; intermediaries often give up after 30 or 60 s. */
const HEARTBEAT_MS = 15_000;
/** A stream for which there was nothing is told so often how far it came, where that has changed. */
const PROGRESS_MS = 5_000;
/** How many streams are looked at in one turn of the event loop. */
const STREAMS_PER_TURN = 128;
/**
 * Bytes of events that all streams together give to their sockets in one turn of the event loop, some milliseconds of work: the
 * kernel takes megabytes at once for each client that comes back, and heartbeats must not wait for that.
 */
const TURN_BYTES_MAX = 1024 * 1024;
/** Events that a client has not taken for so long count as held for it. Those that all clients share count for each of them. */
const HELD_AFTER_MS = 250;
/** What a write costs besides its bytes, in bytes. */
const WRITE_OVERHEAD_BYTES = 4 * 1024;

const eventBytes: ReadonlyMap<WatchFormat, EventBytes> = new Map(
  [serverSentEvents, newlineDelimitedJson].map((format) => [format, new EventBytes(format)]),
);

/** All streams of one server. */
export class WatchStreams {
  private readonly streams = new Set<WatchStream>();
  private readonly turns = new TurnBudget(TURN_BYTES_MAX);
  private isSweeping = false;
  eventsSent = 0;

  /** @param damaged Told of a record that proved to be damaged when it was read for a stream. */
  constructor(
    private readonly budget: ByteBudget,
    private readonly damaged: (error: StorageDamaged) => void,
  ) {}

  get size(): number {
    return this.streams.size;
  }

  /**
   * Sends events until the client leaves, or the watch or this server ends. The head of the answer is sent.
   *
   * @param signal Aborted when the client has left.
   */
  open(response: ServerResponse, watcher: Watcher, options: StreamOptions, signal: AbortSignal): void {
    const { turns, budget, damaged } = this;
    const sent = (count: number) => {
      this.eventsSent += count;
    };
    const stream = new WatchStream(response, watcher, options, { turns, budget }, { sent, damaged });
    this.streams.add(stream);
    const remove = (): void => {
      signal.removeEventListener('abort', leave);
      stream.close();
      this.streams.delete(stream);
    };
    // A response that waits for its turn behind others on its connection never closes.
    const leave = (): void => {
      stream.end();
      remove();
    };
    signal.addEventListener('abort', leave);
    response.once('close', remove);
    this.sweepLater();
    void stream.run();
  }

  /** Ends all streams with this reason, which clients answer by asking another node. */
  endAll(reason: Error): void {
    void this.visit((stream) => stream.fail(reason));
  }

  private sweepLater(): void {
    if (this.isSweeping || this.streams.size === 0) return;
    this.isSweeping = true;
    after(SWEEP_MS, async () => {
      const now = performance.now();
      await this.visit((stream) => stream.sweep(now));
      this.isSweeping = false;
      this.sweepLater();
    });
  }

  /** Does something with every stream, over many turns where they are many. */
  private async visit(task: (stream: WatchStream) => void): Promise<void> {
    let visited = 0;
    for (const stream of this.streams) {
      task(stream);
      visited += 1;
      if (visited % STREAMS_PER_TURN === 0) await turn();
    }
  }
}

export interface StreamOptions {
  readonly format: WatchFormat;
  /** Whether the client wants to know what keys were before. */
  readonly withPrevious: boolean;
  /** Where the stream begins: everything up to there is not for it. */
  readonly after: WatchPosition;
}

class WatchStream {
  private quietSince = performance.now();
  private toldRevision: Revision;
  private isEnded = false;
  /** What waits for the socket to take more. */
  private readonly waiting = new Set<() => void>();

  constructor(
    private readonly response: ServerResponse,
    private readonly watcher: Watcher,
    private readonly options: StreamOptions,
    private readonly budgets: { readonly turns: TurnBudget; readonly budget: ByteBudget },
    private readonly told: { sent(count: number): void; damaged(error: StorageDamaged): void },
  ) {
    const { revision, number } = options.after;
    this.toldRevision = number === Number.POSITIVE_INFINITY ? revision : revision - 1;
  }

  /** One read after the other; the next one waits until the socket has taken what the one before gave. */
  async run(): Promise<void> {
    try {
      const { format, after } = this.options;
      // A client that resumes in the middle of a revision must not be sent back to its beginning by the first id that it gets.
      const isWhole = after.number === Number.POSITIVE_INFINITY;
      const id = isWhole ? `${after.revision}` : `${after.revision}-${after.number}`;
      await this.write(format.progress(this.toldRevision, id));
      while (!this.isEnded) await this.writeAll(await this.next());
    } catch (error) {
      if (error instanceof StorageDamaged) this.told.damaged(error);
      this.fail(error);
    }
  }

  /** Tells a quiet client that the stream lives, and how far it came. */
  sweep(now: number): void {
    const quietMs = now - this.quietSince;
    const settled = this.watcher.settledThrough;
    // What the socket has not taken yet will tell enough, once it does.
    if (this.isEnded || this.response.writableNeedDrain) return;
    if (settled !== undefined && settled > this.toldRevision && quietMs >= PROGRESS_MS) {
      this.toldRevision = settled;
      void this.write(this.options.format.progress(settled, `${settled}`));
    } else if (quietMs >= HEARTBEAT_MS) {
      void this.write(this.options.format.heartbeat);
    }
  }

  /** Ends it without a word, to a client that has closed its side of the connection. */
  end(): void {
    this.close();
    this.response.end();
  }

  /** Ends it with a reason. A client that takes nothing does not hear it, and holds up nobody. */
  fail(error: unknown): void {
    if (this.isEnded) return;
    this.close();
    this.response.end(this.options.format.error(problemOf(error).body));
  }

  close(): void {
    this.isEnded = true;
    this.watcher.close();
    for (const proceed of [...this.waiting]) proceed();
  }

  /** The bytes of what comes next. The events themselves are let go of before anybody waits for a slow reader. */
  private async next(): Promise<readonly Buffer[]> {
    const events = await this.watcher.read();
    const last = events.at(-1);
    if (last === undefined) return [];
    // A client that resumes from a bare revision has all of it, which the last event alone does not say.
    this.toldRevision = Math.max(this.toldRevision, last.revision - 1);
    this.told.sent(events.length);
    return this.encode(events);
  }

  private encode(events: readonly WatchEvent[]): readonly Buffer[] {
    const { format, withPrevious } = this.options;
    const shared = present(eventBytes.get(format), 'There are bytes for every format.');
    const previousOf = withPrevious ? (event: WatchEvent) => this.watcher.previousOf(event) : undefined;
    return events.map((event) => shared.of(event, previousOf));
  }

  /** Resolves when the socket takes more. What it has not taken are the bytes that all streams share, and no copy of them. */
  private async writeAll(chunks: readonly Buffer[]): Promise<void> {
    if (chunks.length === 0) return;
    const bytes = chunks.reduce((sum, { length }) => sum + length, WRITE_OVERHEAD_BYTES);
    // What was read from the past is this stream's alone and counts at once. The watches bound it: they read for a few at a time.
    const counted = new CountedBytes(this.budgets.budget, this.watcher.holdsPast ? bytes : 0);
    try {
      const turn = this.budgets.turns.take(bytes);
      if (turn !== undefined) await turn;
      if (this.isEnded) return;
      this.quietSince = performance.now();
      this.response.cork();
      for (const chunk of chunks) this.response.write(chunk);
      this.response.uncork();
      this.watcher.taken();
      if (this.response.writableNeedDrain) await this.drainedOrEnded(bytes, counted);
    } finally {
      counted.give();
    }
  }

  /**
   * Resolves when the socket takes more. What a client does not take for longer than a moment counts as held for it; where that is
   * too much, the connection ends without a word that it would not take either, and the client resumes.
   */
  private async drainedOrEnded(bytes: number, counted: CountedBytes): Promise<void> {
    const timer = after(HELD_AFTER_MS, () => {
      if (!counted.tryTake(bytes)) this.response.destroy();
    });
    await this.drained();
    timer.cancel();
  }

  /** Resolves when the socket takes more. */
  private write(chunk: Buffer | string): Promise<void> {
    this.quietSince = performance.now();
    return this.isEnded || this.response.write(chunk) ? Promise.resolve() : this.drained();
  }

  /** Resolves also when the stream ends. */
  private drained(): Promise<void> {
    if (this.isEnded) return Promise.resolve();
    return new Promise((resolve) => {
      const proceed = () => {
        this.response.off('drain', proceed);
        this.waiting.delete(proceed);
        resolve();
      };
      this.response.once('drain', proceed);
      this.waiting.add(proceed);
    });
  }
}

/** What the budget counts for one write. */
class CountedBytes {
  /** @param bytes What is held already, however many bytes that are. */
  constructor(
    private readonly budget: ByteBudget,
    private bytes: number,
  ) {
    budget.add(bytes);
  }

  /** Counts these bytes in place of those so far. False where they are too many; then none are counted. */
  tryTake(bytes: number): boolean {
    this.give();
    try {
      this.budget.take(bytes);
      this.bytes = bytes;
      return true;
    } catch {
      return false;
    }
  }

  give(): void {
    this.budget.give(this.bytes);
    this.bytes = 0;
  }
}
