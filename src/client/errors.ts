/** The server said no. `code` is stable and is what programs look at; the message says what to do next. */
export class RaftkvClientError extends Error {
  override readonly name = 'RaftkvClientError';
  readonly code: string;
  /** Of HTTP; 0 for what the client says by itself. */
  readonly status: number;
  /** The problem document as it came, with members such as the current revision. */
  readonly problem: Readonly<Record<string, unknown>>;

  constructor(status: number, code: string, detail: string, problem: Readonly<Record<string, unknown>> = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.problem = problem;
  }
}

/** No endpoint answered in time. */
export class NotReachableError extends Error {
  override readonly name = 'NotReachableError';
}

/** Reads a problem document; what is none comes from somebody else at that address. */
export async function errorOf(response: Response): Promise<RaftkvClientError> {
  const text = await response.text();
  try {
    const problem: unknown = JSON.parse(text);
    if (typeof problem === 'object' && problem !== null && 'code' in problem && 'detail' in problem) {
      return new RaftkvClientError(response.status, String(problem.code), String(problem.detail), {
        ...problem,
      });
    }
  } catch {
    // Said below.
  }
  return new RaftkvClientError(
    response.status,
    'not_raftkv',
    `The answer has status ${response.status} and is not of a raftkv server. Check the endpoints.`,
  );
}
