import { setTimeout as sleep } from 'node:timers/promises';
import type { Prng } from '../../../src/sim/prng.js';
import { call } from '../../e2e/client.js';
import { limit } from '../time-limits.js';

/** How long a node may try, and how much longer its answer is waited for: a node that hangs answers nothing at all. */
const NODE_TIMEOUT_MS = 2000;
const ANSWER_MS_MAX = 500;
const PAUSE_MS_MIN = 20;
const PAUSE_MS_MAX = 300;
/** Whatever the faults are, none goes on for so long: who repeats a request until it is answered is answered by then. */
const ANSWERED_MS_MAX = 60_000;

export interface Question {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** With what is asked for in the query, but `timeout` and `redirect`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** How long the node may hold the answer back on purpose. */
  readonly waitMs?: number;
  /** After so long whoever asked hangs up; unless given, a little after the node's time is up. */
  readonly patienceMs?: number;
}

/** What a node said; its document is for whoever asked to read. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** When this one request was sent, and when it was answered, by `performance.now()`. */
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
}

/** Asks nodes of its choice: some of the time followed to the leader by redirects, some of the time not. */
export class Asker {
  /** Attempts that nobody answered, or whose answer said nothing. */
  unanswered = 0;

  constructor(
    private readonly urls: readonly string[],
    private readonly random: Prng,
  ) {}

  /** One request to one node; undefined where it is not known what came of it, or nothing did. */
  async once(question: Question): Promise<Reply | undefined> {
    const { method, path, headers = {}, body, waitMs = 0 } = question;
    const { patienceMs = NODE_TIMEOUT_MS + ANSWER_MS_MAX + waitMs } = question;
    const url = this.random.pick(this.urls) ?? '';
    const redirect = this.random.chance(0.5) ? '&redirect=never' : '';
    const sentAtMs = performance.now();
    try {
      const response = await call(
        url,
        path,
        {
          query: `timeout=${NODE_TIMEOUT_MS}ms${redirect}`,
          headers,
          timeoutMs: patienceMs,
        },
        { method, ...(body === undefined ? {} : { body }) },
      );
      const text = await response.text();
      const { status } = response;
      if (status < 500) {
        return { status, headers: response.headers, text, sentAtMs, answeredAtMs: performance.now() };
      }
      if (status !== 503 && status !== 504) throw new Error(`${method} ${path} on ${url}: ${status} ${text}`);
    } catch (error) {
      // What fetch says of connections is a TypeError, and of time a DOMException.
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    }
    this.unanswered += 1;
    return undefined;
  }

  /**
   * Asks one node after the other until one answers. What changes something must come under an `Idempotency-Key`, or be
   * harmless to repeat.
   */
  async untilAnswered(question: Question): Promise<Reply> {
    const beganAtMs = performance.now();
    for (;;) {
      const reply = await this.once(question);
      if (reply !== undefined) return reply;
      if (performance.now() - beganAtMs > limit(ANSWERED_MS_MAX)) {
        throw new Error(
          `${question.method} ${question.path} was not answered for ${limit(ANSWERED_MS_MAX)} ms.`,
        );
      }
      await sleep(this.random.between(PAUSE_MS_MIN, PAUSE_MS_MAX));
    }
  }
}

/** The JSON document of an answer, where it has one of these statuses. */
export function documentOf<Body>(question: Question, reply: Reply, ...statuses: readonly number[]): Body {
  if (!statuses.includes(reply.status)) {
    throw new Error(
      `${question.method} ${question.path} ${question.body ?? ''} was answered with ${reply.status}: ${reply.text}`,
    );
  }
  return JSON.parse(reply.text) as Body;
}

/** How far the node was that answered. */
export function storeRevisionOf({ headers }: Reply): number {
  return Number(headers.get('raftkv-revision'));
}
