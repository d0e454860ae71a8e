import { Attempts } from './attempts.js';
import type { Answer, Call, Outcome, StreamCall } from './call.js';
import { Discovery } from './discovery.js';
import { Endpoints, nodeOfLocation } from './endpoints.js';
import { isOfNode, notRaftkv, RaftkvClientError } from './errors.js';
import {
  Abortable,
  type Fetch,
  type FetchBody,
  type FetchResponse,
  readAll,
  reasonOf,
  wasSent,
} from './fetch.js';
import { membersCall, membersIn } from './members-call.js';
import { after, Pauses, sleep } from './timing.js';
import { isFoldable, queryOf, textOf } from './wire.js';

/** A stream that says nothing for so long is taken for dead; nodes send heartbeats far more often. */
const silenceMsMax = 60_000;
/** Redirects that one attempt follows: while leaders change, the one that is named may name the next. */
const redirectsMax = 3;

export interface CallerOptions {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  readonly fetch: Fetch | undefined;
  readonly redirects: 'follow' | 'never';
  readonly waitForNodes: boolean;
  readonly discover: boolean;
}

/** Makes calls to the nodes of one cluster: chooses the node, follows redirects, and repeats what may be repeated. */
export class Caller {
  readonly endpoints: Endpoints;
  readonly waitForNodes: boolean;
  private readonly timeoutMs: number;
  private readonly fetch: Fetch;
  private readonly foldsPaths: boolean;
  private readonly discovery: Discovery | undefined;

  constructor(options: CallerOptions) {
    this.endpoints = new Endpoints(options.endpoints, options.redirects);
    if (options.discover) {
      this.discovery = new Discovery(this.endpoints, async (endpoint) =>
        membersIn(await this.callOnce(endpoint, membersCall)),
      );
    }
    this.timeoutMs = options.timeoutMs;
    this.waitForNodes = options.waitForNodes;
    // Not stored as it is: in browsers fetch wants to be called as a method of the window.
    this.fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
    this.foldsPaths = options.fetch === undefined;
  }

  /** The answer's JSON document, as the contract describes it. */
  async callJson<Body>(call: Call): Promise<Body> {
    const { body } = await this.call(call);
    return JSON.parse(textOf(body));
  }

  /**
   * Asks until a node answers or the time is up.
   *
   * @throws RaftkvClientError What the server said; `outcome_unknown` for a change that may have been made.
   * @throws NotReachableError No node answered, and nothing was changed.
   */
  async call(call: Call): Promise<Answer> {
    const attempts = new Attempts(call, (call.timeoutMs ?? this.timeoutMs) + (call.waitMs ?? 0));
    const pauses = new Pauses();
    for (;;) {
      attempts.beginRound();
      for (const endpoint of this.endpoints.inTurn(call.where)) {
        const outcome = await this.attempt(endpoint, call, attempts);
        const answer = attempts.judge(endpoint, outcome);
        if (answer !== undefined) {
          this.discovery?.answered(endpoint);
          return answer;
        }
        this.endpoints.failed(endpoint);
        this.discovery?.failed();
        if (attempts.leftMs() <= 0) throw attempts.failure();
      }
      if (attempts.reachedNobody() && !this.waitForNodes) throw attempts.failure();
      const pauseMs = pauses.take();
      if (pauseMs >= attempts.leftMs()) throw attempts.failure();
      await sleep(pauseMs, call.signal);
    }
  }

  /** Asks one node once. Throws as {@link call} does. */
  async callOnce(endpoint: string, call: Call): Promise<Answer> {
    const attempts = new Attempts(call, call.timeoutMs ?? this.timeoutMs);
    const answer = attempts.judge(endpoint, await this.send(endpoint, call, attempts, true, 'never'));
    if (answer === undefined) throw attempts.failure();
    return answer;
  }

  /** Sends the call to a node and to where that one redirects it; where that leads nowhere, has the node itself do the work. */
  private async attempt(endpoint: string, call: Call, attempts: Attempts): Promise<Outcome> {
    const alone = this.endpoints.all.length === 1;
    // Who may send a call only once cannot try whether a redirect leads anywhere.
    if (call.repeat !== 'never' && this.endpoints.mayFollow()) {
      let node: string | undefined = endpoint;
      for (let hop = 0; hop <= redirectsMax && node !== undefined; hop++) {
        const outcome = await this.send(node, call, attempts, alone && hop === 0, undefined);
        if (outcome.kind === 'answered' && outcome.answer.status < 500)
          this.endpoints.answered(node, call.where);
        if (outcome.kind !== 'redirected' && (hop === 0 || outcome.kind === 'answered')) return outcome;
        if (outcome.kind === 'failed') {
          attempts.failed(node, outcome);
          break;
        }
        node = outcome.to;
      }
      this.endpoints.redirectFailed();
    }
    return this.send(endpoint, call, attempts, alone, 'never');
  }

  private async send(
    node: string,
    call: Call,
    attempts: Attempts,
    alone: boolean,
    redirect: 'never' | undefined,
  ): Promise<Outcome> {
    const { serverMs, answerMs } = attempts.share(alone);
    const timeout = `${Math.ceil(serverMs)}ms`;
    const abortable = new Abortable(call.signal);
    const { controller } = abortable;
    const request = { ...call, query: { ...call.query, timeout, redirect }, headers: attempts.headers };
    const exchange = async (): Promise<Outcome> => {
      const response = await this.request(node, request, controller);
      const { status, headers } = response;
      if (status === 307 || status === 0) {
        await response.body?.cancel();
        return { kind: 'redirected', to: nodeOfLocation(headers.get('Location'), node) };
      }
      return { kind: 'answered', answer: { status, headers, body: await readAll(response.body) } };
    };
    try {
      return await within(answerMs, controller, exchange());
    } catch (error) {
      call.signal?.throwIfAborted();
      if (error instanceof RaftkvClientError) throw error;
      return { kind: 'failed', ...failureOf(error, controller) };
    } finally {
      abortable.release();
    }
  }

  /**
   * The chunks of an answer without an end, from the first node that gives it. Ends when the connection is lost or nothing came
   * for a long time; the next stream then asks another node first.
   *
   * @throws RaftkvClientError As {@link call} does, before the first chunk.
   */
  async *stream(call: StreamCall): AsyncGenerator<Uint8Array, void, void> {
    const attempts = new Attempts(
      { ...call, method: 'GET', where: 'anywhere', repeat: 'always' },
      this.timeoutMs,
    );
    const alone = this.endpoints.all.length === 1;
    for (const endpoint of this.endpoints.inTurn('anywhere')) {
      const abortable = new Abortable(call.signal);
      const { controller } = abortable;
      let live = false;
      try {
        const request = { ...call, method: 'GET', query: { ...call.query, redirect: 'never' } } as const;
        const asked = this.request(endpoint, request, controller);
        const response = await within(attempts.share(alone).answerMs, controller, asked);
        if (response.status === 200) {
          if (!isOfNode(response.headers)) throw notRaftkv(200);
          call.checkHead?.(response.headers);
          live = true;
          this.discovery?.answered(endpoint);
          yield* chunksOf(response.body, controller);
          return;
        }
        const body = await within(attempts.share(alone).answerMs, controller, readAll(response.body));
        const { status, headers } = response;
        attempts.judge(endpoint, { kind: 'answered', answer: { status, headers, body } });
      } catch (error) {
        call.signal?.throwIfAborted();
        if (error instanceof RaftkvClientError) throw error;
        if (live) return;
        attempts.failed(endpoint, failureOf(error, controller));
      } finally {
        // Whichever way it ended, another node is next; and the connection of a reader who left is of no use.
        this.endpoints.failed(endpoint);
        controller.abort();
        abortable.release();
      }
    }
    throw attempts.failure();
  }

  /** One request to one node; what its answer is worth is for others to say. */
  async request(
    node: string,
    call: Pick<Call, 'method' | 'path' | 'query' | 'headers' | 'body'>,
    controller: AbortController,
  ): Promise<FetchResponse> {
    const { method, path, query = {}, headers, body } = call;
    if (this.foldsPaths && isFoldable(path)) {
      throw new RaftkvClientError(
        'bad_request',
        'fetch folds a name that is "." or ".." out of a URL. Use txn for such a key, or give the client a fetch that ' +
          'sends paths as they are.',
      );
    }
    return this.fetch(`${node}${path}${queryOf(query)}`, {
      method,
      headers: { ...headers },
      ...(body === undefined ? {} : { body }),
      signal: controller.signal,
      redirect: 'manual',
    });
  }
}

/** Aborts where the promise takes longer. */
async function within<Value>(
  milliseconds: number,
  controller: AbortController,
  promise: Promise<Value>,
): Promise<Value> {
  const cancel = after(milliseconds, () => controller.abort());
  try {
    return await promise;
  } finally {
    cancel();
  }
}

async function* chunksOf(
  body: FetchBody | null,
  controller: AbortController,
): AsyncGenerator<Uint8Array, void, void> {
  if (body === null) return;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await within(silenceMsMax, controller, reader.read());
    if (done) return;
    if (value !== undefined) yield value;
  }
}

function failureOf(
  error: unknown,
  { signal }: AbortController,
): { readonly reason: string; readonly sent: boolean } {
  return { reason: signal.aborted ? 'no answer in time' : reasonOf(error), sent: wasSent(error) };
}
