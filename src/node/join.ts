import { signalAfter } from '../clock.js';
import { type ErrorCode, errorCatalogue, RaftkvError } from '../errors.js';
import type { JoinRequest } from './bootstrap.js';

const JOIN_TIMEOUT_MS = 5000;

/** Asks each endpoint in turn to add this node, and returns the cluster's id. Throws `unavailable` when none answers. */
export async function joinOverHttp(request: JoinRequest): Promise<string> {
  const { endpoints, ...body } = request;
  let lastProblem: RaftkvError | undefined;
  for (const endpoint of endpoints) {
    try {
      const response = await fetch(new URL('/v1/members?redirect=never', endpoint), {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: signalAfter(JOIN_TIMEOUT_MS),
      });
      const answer = (await response.json()) as { cluster?: unknown; code?: unknown; detail?: unknown };
      if (response.ok && typeof answer.cluster === 'string') return answer.cluster;
      lastProblem = new RaftkvError(codeOf(answer.code), String(answer.detail ?? response.statusText));
      // Any member can answer for the cluster, so a refusal by one is a refusal.
      if (response.status < 500) throw lastProblem;
    } catch (error) {
      if (error instanceof RaftkvError && error === lastProblem && error.code !== 'unavailable') throw error;
      lastProblem ??= new RaftkvError('unavailable', `${endpoint} does not answer.`);
    }
  }
  throw lastProblem ?? new RaftkvError('usage', '--join names no endpoint.');
}

function codeOf(code: unknown): ErrorCode {
  return typeof code === 'string' && code in errorCatalogue ? (code as ErrorCode) : 'unavailable';
}
