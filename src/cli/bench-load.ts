import { randomBytes } from 'node:crypto';
import { createHistogram } from 'node:perf_hooks';
import { NotReachableError, type RaftkvClient, RaftkvClientError } from '../client/index.js';

export const benchOperations = ['put', 'get'] as const;

/** What a load consists of. */
export interface LoadOptions {
  readonly operation: (typeof benchOperations)[number];
  /** Each has one request in flight. */
  readonly clients: number;
  readonly seconds: number;
  readonly valueBytes: number;
  /** At most {@link benchKeysMax}. */
  readonly keys: number;
  /** The keys stand below it, under a name of this run alone. */
  readonly prefix: string;
}

/** What a load came to. Requests that failed are in `failures` alone. */
export interface LoadResult {
  /** How long requests were begun for: less than was asked for where the load was stopped. */
  readonly seconds: number;
  readonly requests: number;
  /** Of the requests that were answered before the time was up. */
  readonly perSecond: number;
  /** In milliseconds; null where no request was answered. */
  readonly latencyMs: {
    readonly p50: number;
    readonly p90: number;
    readonly p99: number;
    readonly max: number;
  } | null;
  /** How often each code was given. */
  readonly failures: Readonly<Record<string, number>>;
}

const keyDigits = 6;
export const benchKeysMax = 10 ** keyDigits;
/**
 * The last digits of a key, which a deletion leaves open: a thousand keys, the longest of which take 4,096,000 bytes, are within
 * the 10,000 keys and 4 MiB of one deletion.
 */
const deletedDigits = 3;

/** A closed-loop load: each client sends its next request when it has the answer to the one before. */
export class Load {
  /** What all keys of this run begin with, so that it touches no other, not even those of another run at the same time. */
  readonly root: string;
  /** Set when no node could be reached any more, which ends the load. */
  unreachable: NotReachableError | undefined;
  private readonly value: Buffer;
  private readonly latenciesNs = createHistogram();
  private readonly failures = new Map<string, number>();
  private requestsInTime = 0;
  private startedAtMs = Number.NEGATIVE_INFINITY;
  private endsAtMs = Number.POSITIVE_INFINITY;
  private mayHavePut = false;

  constructor(
    private readonly client: RaftkvClient,
    private readonly options: LoadOptions,
  ) {
    this.root = `${options.prefix}${randomBytes(4).toString('hex')}/`;
    // Random, because storage compresses what repeats itself.
    this.value = randomBytes(options.valueBytes);
  }

  /** How much of the time is over, from 0 to 1. */
  get share(): number {
    return (performance.now() - this.startedAtMs) / (this.options.seconds * 1_000);
  }

  /** Requests that were answered or failed. */
  get count(): number {
    return this.latenciesNs.count + this.failureCount;
  }

  get failureCount(): number {
    return [...this.failures.values()].reduce((sum, count) => sum + count, 0);
  }

  /** No request is begun any more. */
  stop(): void {
    this.endsAtMs = Math.min(this.endsAtMs, performance.now());
  }

  /**
   * Puts the keys that are read; for puts the first one, which shows whether they are taken at all. Throws what the server says
   * against it.
   */
  async prepare(onPut: (count: number) => void): Promise<void> {
    const keyCount = this.options.operation === 'get' ? this.options.keys : 1;
    let begun = 0;
    let done = 0;
    await this.inParallel(async () => {
      while (begun < keyCount && !this.isOver()) {
        begun += 1;
        await this.put(begun - 1);
        done += 1;
        onPut(done);
      }
    });
  }

  /** Runs until the time is up, the load is stopped or no node is left, and then until every request has ended. */
  async run(onRequest: () => void): Promise<LoadResult> {
    this.startedAtMs = performance.now();
    this.endsAtMs = Math.min(this.endsAtMs, this.startedAtMs + this.options.seconds * 1_000);
    await this.inParallel(async () => {
      while (!this.isOver()) {
        await this.measure();
        onRequest();
      }
    });
    return this.result();
  }

  /** Deletes what was put. Throws what the server says against it, or that there is none. */
  async cleanUp(): Promise<void> {
    if (!this.mayHavePut) return;
    const groupCount = Math.ceil(this.options.keys / 10 ** deletedDigits);
    for (let group = 0; group < groupCount; group += 1) {
      await this.client.deletePrefix(this.root + digits(group, keyDigits - deletedDigits));
    }
  }

  private isOver(): boolean {
    return performance.now() >= this.endsAtMs;
  }

  /** Ends when all clients have ended, and then with the first failure: none may put what is being deleted already. */
  private async inParallel(work: () => Promise<void>): Promise<void> {
    let failure: unknown;
    const one = (): Promise<void> =>
      work().catch((error: unknown) => {
        failure ??= error;
        this.stop();
      });
    await Promise.all(Array.from({ length: this.options.clients }, one));
    if (failure !== undefined) throw failure;
  }

  private async measure(): Promise<void> {
    const begunAtMs = performance.now();
    try {
      const index = Math.floor(Math.random() * this.options.keys);
      if (this.options.operation === 'put') await this.put(index);
      else await this.client.get(this.key(index), { mustExist: true });
    } catch (error) {
      if (!(error instanceof RaftkvClientError)) throw error;
      this.failures.set(error.code, (this.failures.get(error.code) ?? 0) + 1);
      if (!(error instanceof NotReachableError)) return;
      this.unreachable ??= error;
      this.stop();
      return;
    }
    const nowMs = performance.now();
    this.latenciesNs.record(Math.max(1, Math.round((nowMs - begunAtMs) * nanosecondsPerMs)));
    if (nowMs <= this.endsAtMs) this.requestsInTime += 1;
  }

  private async put(index: number): Promise<void> {
    try {
      await this.client.put(this.key(index), this.value);
    } catch (error) {
      if (!(error instanceof RaftkvClientError) || error.code === 'outcome_unknown') this.mayHavePut = true;
      throw error;
    }
    this.mayHavePut = true;
  }

  private key(index: number): string {
    return this.root + digits(index, keyDigits);
  }

  private result(): LoadResult {
    const { latenciesNs } = this;
    // Stopped before it began, it took no time.
    const seconds = Math.max(0, Math.round(this.endsAtMs - this.startedAtMs)) / 1_000;
    const percentileMs = (percentile: number): number => millisecondsOf(latenciesNs.percentile(percentile));
    return {
      seconds,
      requests: latenciesNs.count,
      perSecond: seconds > 0 ? Math.round((this.requestsInTime / seconds) * 10) / 10 : 0,
      latencyMs:
        latenciesNs.count === 0
          ? null
          : {
              p50: percentileMs(50),
              p90: percentileMs(90),
              p99: percentileMs(99),
              max: millisecondsOf(latenciesNs.max),
            },
      failures: Object.fromEntries(this.failures),
    };
  }
}

const nanosecondsPerMs = 1_000_000;

/** To the microsecond. */
function millisecondsOf(nanoseconds: number): number {
  return Math.round(nanoseconds / 1_000) / 1_000;
}

function digits(number: number, length: number): string {
  return String(number).padStart(length, '0');
}
