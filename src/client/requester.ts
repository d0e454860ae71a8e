import { errorOf, NotReachableError, RaftkvClientError } from './errors.js';

/** Nothing was done for these, and another node, or the same one a moment later, may do it. */
const TRY_AGAIN: ReadonlySet<string> = new Set([
  'no_leader',
  'overloaded',
  'unavailable',
  'not_ready',
  'shutting_down',
  'outcome_unknown',
]);
/** Pauses between rounds of all endpoints grow from the first to the second. */
const PAUSE_MS_MIN = 20;
const PAUSE_MS_MAX = 1_000;
/** How much longer than the server's own deadline an answer is waited for. */
const ANSWER_MARGIN_MS = 1_000;

export interface RequesterOptions {
  /** Base URLs of nodes: `http://host:port`. */
  readonly endpoints: readonly string[];
  /** How long a call may take with all its repeats. */
  readonly timeoutMs: number;
  readonly fetch: typeof fetch;
}

export interface Call {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Percent-encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** How long the server may hold the request beyond its `timeout`, such as for a place in line. */
  readonly holdMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes calls until one is answered: the leader first, once it is known, then the other endpoints in turn, with growing pauses
 * between the rounds. That is safe for changes, too, because each call carries one Idempotency-Key through all its repeats:
 * a change that was made and not acknowledged is not made again.
 */
export class Requester {
  private leader: string | undefined;
  private next = 0;

  constructor(readonly options: RequesterOptions) {
    if (options.endpoints.length === 0) throw new TypeError('Give at least one endpoint.');
  }

  /** The endpoints, beginning with a different one each time. */
  inTurn(): readonly string[] {
    const { endpoints } = this.options;
    const first = this.next % endpoints.length;
    this.next += 1;
    return [...endpoints.slice(first), ...endpoints.slice(0, first)];
  }

  /** Resolves with an answer that is no refusal. Throws `RaftkvClientError` or `NotReachableError`. */
  async call(call: Call): Promise<Response> {
    const { timeoutMs } = this.options;
    const deadline = performance.now() + timeoutMs + (call.holdMs ?? 0);
    const headers = new Headers(call.headers);
    if (call.method !== 'GET') headers.set('Idempotency-Key', crypto.randomUUID());
    let refusal: RaftkvClientError | undefined;
    let failure = 'no answer in time';
    for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
      const known = this.leader;
      const targets = [
        ...(known === undefined ? [] : [known]),
        ...this.inTurn().filter((one) => one !== known),
      ];
      for (const target of targets) {
        call.signal?.throwIfAborted();
        const leftMs = deadline - performance.now();
        if (leftMs <= 0) break;
        try {
          const response = await this.ask(target, call, headers, leftMs);
          if (response.status < 400) return response;
          const error = await errorOf(response);
          if (!TRY_AGAIN.has(error.code)) throw error;
          refusal = error;
        } catch (error) {
          if (error instanceof RaftkvClientError || call.signal?.aborted) throw error;
          failure = `${target}: ${reasonOf(error)}`;
        }
        if (target === this.leader) this.leader = undefined;
      }
      if (performance.now() + pauseMs >= deadline) break;
      await pause(pauseMs * (0.5 + Math.random() / 2));
    }
    if (refusal !== undefined) throw refusal;
    throw new NotReachableError(`No node answered within ${timeoutMs} ms (${failure}). Check the endpoints.`);
  }

  /** Asks one node, and the leader if that node names it. */
  private async ask(target: string, call: Call, headers: Headers, leftMs: number): Promise<Response> {
    const response = await this.send(target, call, headers, leftMs, false);
    const isRedirect = response.type === 'opaqueredirect' || response.status === 307;
    if (!isRedirect) return response;
    await response.body?.cancel();
    const location = response.headers.get('location');
    if (location !== null) {
      const leader = new URL(location).origin;
      try {
        const answer = await this.send(leader, call, headers, leftMs, false);
        if (answer.status !== 307) {
          this.leader = leader;
          return answer;
        }
        await answer.body?.cancel();
      } catch (error) {
        call.signal?.throwIfAborted();
        // What a leader calls itself may only be reachable from within a network of containers; a change that did reach it
        // is not made twice.
      }
    }
    return this.send(target, call, headers, leftMs, true);
  }

  private send(
    target: string,
    call: Call,
    headers: Headers,
    leftMs: number,
    redirectNever: boolean,
  ): Promise<Response> {
    const { holdMs = 0 } = call;
    const serverMs = Math.max(1, Math.ceil(Math.min(leftMs, this.options.timeoutMs)));
    const query = queryText({
      ...call.query,
      timeout: `${serverMs}ms`,
      redirect: redirectNever ? 'never' : undefined,
    });
    const timeout = AbortSignal.timeout(serverMs + holdMs + ANSWER_MARGIN_MS);
    return this.options.fetch(`${target}${call.path}${query}`, {
      method: call.method,
      headers,
      redirect: 'manual',
      signal: call.signal === undefined ? timeout : AbortSignal.any([timeout, call.signal]),
      ...(call.body === undefined ? {} : { body: call.body as NonNullable<RequestInit['body']> }),
    });
  }
}

export function queryText(query: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${typeof value === 'string' ? value : String(value)}`],
  );
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
}

export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener('abort', done);
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
