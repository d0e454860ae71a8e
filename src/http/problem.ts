import { type ErrorCode, errorCatalogue, RaftkvError } from '../errors.js';

/** A problem document (RFC 9457), ready to be sent. */
export interface Problem {
  readonly status: number;
  readonly body: string;
  /** Header names and values in turn, beyond those that every answer has. */
  readonly headers: readonly string[];
}

export const problemContentType = 'application/problem+json';

/** Refusals that a client may repeat as they are, a moment later. */
const retryAfterSeconds: Partial<Record<ErrorCode, number>> = {
  no_leader: 1,
  overloaded: 1,
  shutting_down: 1,
};

/**
 * The one mapping from errors to what a client reads. An error that is not in the catalogue is a mistake of this
 * program: its text stays in the log, because it may tell more than a client should know.
 */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof RaftkvError)) {
    return problemOf(
      new RaftkvError(
        'internal',
        'This node could not answer because of a mistake in its program. Its log says more; try again or ask another node.',
      ),
    );
  }
  const { status, title } = errorCatalogue[error.code];
  const retryAfter = retryAfterSeconds[error.code];
  return {
    status,
    body: problemBody(status, error.code, title, error.message, error.data),
    headers: retryAfter === undefined ? [] : ['Retry-After', String(retryAfter)],
  };
}

export function problemBody(
  status: number,
  code: string,
  title: string,
  detail: string,
  data: Readonly<Record<string, unknown>> = {},
): string {
  return JSON.stringify({ type: `urn:raftkv:problem:${code}`, title, status, code, detail, ...data });
}
