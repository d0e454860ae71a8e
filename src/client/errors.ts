import type { FetchHeaders } from './fetch.js';

/**
 * What a server said no with, or why nobody knows what it would have said. Programs read `code`; people read `detail`,
 * which says what to do next.
 */
export class RaftkvClientError extends Error {
  override readonly name: string = 'RaftkvClientError';
  /**
   * Stable. The server's own codes, such as `key_not_found`, and those of this library: `unreachable` (see
   * {@link NotReachableError}), `outcome_unknown` (the server has it, too), `lease_lost`, `idempotency_unsupported`,
   * `bad_request` (refused before it was sent), `not_a_member` (only nodes that were removed answer), `other_cluster` (a watch came to another cluster; the server has it, too) and
   * `not_raftkv` (something else answers there).
   */
  readonly code: string;
  /** The HTTP status; 0 where no server said it. */
  readonly status: number;
  readonly detail: string;
  /** The whole problem document, with members such as `revision` that belong to its code. */
  readonly problem: Readonly<Record<string, unknown>>;

  /** @param problem As the server sent it; what the server did not say itself has a code and a detail alone. */
  constructor(
    code: string,
    detail: string,
    status = 0,
    problem: Readonly<Record<string, unknown>> = { code, detail },
  ) {
    super(detail);
    this.code = code;
    this.status = status;
    this.detail = detail;
    this.problem = problem;
  }
}

/** Why one endpoint did not answer. */
export interface EndpointFailure {
  readonly endpoint: string;
  /** Such as `ECONNREFUSED`, or `no answer in time`. */
  readonly reason: string;
}

/** No endpoint answered. Nothing was changed: a change that may have arrived somewhere is `outcome_unknown` instead. */
export class NotReachableError extends RaftkvClientError {
  override readonly name: string = 'NotReachableError';
  readonly failures: readonly EndpointFailure[];

  constructor(failures: readonly EndpointFailure[]) {
    const reasons = failures.map(({ endpoint, reason }) => `${endpoint} (${reason})`).join(', ');
    super('unreachable', `No node can be reached: ${reasons}.`);
    this.failures = failures;
  }
}

/** The error that an answer with a status of 400 or more stands for. */
export function errorOfAnswer(status: number, body: string): RaftkvClientError {
  const problem = problemOf(body);
  return problem === undefined ? notRaftkv(status) : errorOfProblem(problem, status);
}

/** Whether an answer that is no refusal comes from a node: every answer of one names it. */
export function isOfNode(headers: FetchHeaders): boolean {
  return headers.get('Raftkv-Node') !== null;
}

/** Something else answers there. */
export function notRaftkv(status: number): RaftkvClientError {
  return new RaftkvClientError(
    'not_raftkv',
    `The answer has status ${status} and is not of this server. Check the endpoints.`,
    status,
  );
}

/** @param answered The status of the answer; where there is none, the document says it itself. */
export function errorOfProblem(
  problem: Readonly<Record<string, unknown>>,
  answered?: number,
): RaftkvClientError {
  const { code, detail, status } = problem;
  return new RaftkvClientError(String(code), String(detail), answered ?? Number(status), problem);
}

function problemOf(body: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const problem: unknown = JSON.parse(body);
    if (typeof problem === 'object' && problem !== null && 'code' in problem && 'detail' in problem) {
      return { ...problem };
    }
  } catch {
    // Not ours: something else answers at this address.
  }
  return undefined;
}

/** Refusals after which nothing was changed, and which another node, or the same one a moment later, may not repeat. */
const passing: ReadonlySet<string> = new Set([
  'no_leader',
  'shutting_down',
  'overloaded',
  'unavailable',
  'not_ready',
]);

export function isPassing(error: RaftkvClientError): boolean {
  return passing.has(error.code);
}
