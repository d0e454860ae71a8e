import { signalAfter } from '../clock.js';
import { opaqueIdPattern } from '../config.js';
import { type ErrorCode, errorCatalogue, RaftkvError } from '../errors.js';
import { printable } from '../text.js';
import type { JoinRequest } from './bootstrap.js';

const JOIN_TIMEOUT_MS = 5000;
/** Bytes of an answer. A member answers with some hundred. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** Characters of a sentence that is logged. */
const DETAIL_LENGTH_MAX = 2000;

const clusterId = new RegExp(opaqueIdPattern);

/**
 * Asks each endpoint in turn to add this node, and returns the cluster's id. Throws `unavailable` when none answers.
 *
 * Anything may listen at an endpoint. What it says is written to disk and stands in headers and log lines, so only an id that a
 * cluster can have is taken.
 */
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
      const answer = JSON.parse(await textOf(response)) as Answer;
      if (response.ok) {
        if (typeof answer.cluster === 'string' && clusterId.test(answer.cluster)) return answer.cluster;
        lastProblem = new RaftkvError(
          'unavailable',
          `${endpoint} did not answer as a member of a cluster does.`,
        );
        continue;
      }
      const detail = printable(String(answer.detail ?? response.statusText), DETAIL_LENGTH_MAX);
      lastProblem = new RaftkvError(codeOf(answer.code), detail);
      // Any member can answer for the cluster, so a refusal by one is a refusal.
      if (response.status < 500) throw lastProblem;
    } catch (error) {
      if (error instanceof RaftkvError && error === lastProblem && error.code !== 'unavailable') throw error;
      lastProblem ??= new RaftkvError('unavailable', `${endpoint} does not answer.`);
    }
  }
  throw lastProblem ?? new RaftkvError('usage', '--join names no endpoint.');
}

interface Answer {
  readonly cluster?: unknown;
  readonly code?: unknown;
  readonly detail?: unknown;
}

/** Throws where the answer is longer than any member's. */
async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error('The answer is too long.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function codeOf(code: unknown): ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCatalogue, code)
    ? (code as ErrorCode)
    : 'unavailable';
}
