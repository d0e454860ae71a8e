import type { FastifyInstance, InjectOptions } from 'fastify';
import { vi } from 'vitest';
import type { Fetch } from '../../src/client/fetch.js';

/**
 * A clock and timers that move only while {@link asTimePasses} waits, so that a test of times does not depend on the speed of
 * the machine. Connections have times of their own: use a fetch that makes none.
 */
export function fakeTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
}

/** Lets time pass until the promise settles, with a turn of the event loop every ten milliseconds of it. */
export async function asTimePasses<Value>(promise: Promise<Value>): Promise<Value> {
  let isSettled = false;
  const settle = () => {
    isSettled = true;
  };
  promise.then(settle, settle);
  while (!isSettled) await vi.advanceTimersByTimeAsync(10);
  return promise;
}

/** A fetch that a function answers. What gets no answer ends when the client gives it up. */
export function fetchOf(
  answer: (url: URL, method: string) => Promise<Response> | Response | undefined,
): Fetch {
  return (url, { method, signal }) =>
    Promise.race([
      answer(new URL(url), method) ?? new Promise<never>(() => {}),
      new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      ),
    ]);
}

/** A fetch that a server answers without a connection. */
export function fetchFrom(app: FastifyInstance): Fetch {
  return async (url, { method, headers, body }) => {
    const { pathname, search } = new URL(url);
    const payload = body === undefined ? {} : { payload: Buffer.from(body) };
    const request = { method, url: pathname + search, headers, ...payload } as InjectOptions;
    const answer = await app.inject(request);
    const names = Object.entries(answer.headers).map(
      ([name, value]) => [name, String(value)] as [string, string],
    );
    return new Response(answer.rawPayload, { status: answer.statusCode, headers: names });
  };
}

/** An answer of a node. */
export function answerOf(status: number, body: unknown): Response {
  return Response.json(body, { status, headers: { 'Raftkv-Node': 'n1' } });
}

export function problemOf(status: number, code: string): Response {
  return answerOf(status, { type: `urn:raftkv:problem:${code}`, status, code, detail: `It is ${code}.` });
}

/** What fetch throws where nobody listens, or where a connection breaks. */
export function fetchFailed(code: 'ECONNREFUSED' | 'ECONNRESET'): Error {
  return new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) });
}
