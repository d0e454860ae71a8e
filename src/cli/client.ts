import { Buffer } from 'node:buffer';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { clientUrl } from '../addresses.js';
import { RaftkvError } from '../errors.js';

export const endpointsDefault = 'http://127.0.0.1:8101,http://127.0.0.1:8102,http://127.0.0.1:8103';

/** A node that cannot be connected to within this time is passed over. */
const connectTimeoutMs = 1_000;
/** How much longer than the server's own deadline an answer is waited for. */
const answerMarginMs = 1_000;

/** The server said no, or nobody knows what it would have said. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly code: string;
  /** The problem document, for programs. */
  readonly problem: Readonly<Record<string, unknown>>;

  /** @param problem As the server sent it; for what the server did not say itself, of the code and the detail. */
  constructor(code: string, detail: string, problem: Readonly<Record<string, unknown>> = { code, detail }) {
    super(detail);
    this.code = code;
    this.problem = problem;
  }
}

/** No endpoint could be reached. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

export interface ClientOptions {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
}

export interface ClientRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

export interface ClientAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** The server did nothing for these, and another node may know better. */
const passedOn = new Set(['no_leader', 'shutting_down', 'overloaded', 'unavailable', 'not_ready']);

/**
 * Asks one node after the other until one answers. Redirects are not needed: every node is told to do the work itself.
 * It stands on `node:http`, not on `fetch`, because `fetch` folds a key such as `..` out of the path.
 */
export async function call(options: ClientOptions, request: ClientRequest): Promise<ClientAnswer> {
  let refused: RefusedError | undefined;
  const failures: string[] = [];
  for (const endpoint of options.endpoints) {
    try {
      const answer = await callNode(endpoint, options.timeoutMs, request);
      if (answer.status < 400) return answer;
      const problem = refusalOf(answer);
      if (!passedOn.has(problem.code)) throw problem;
      refused = problem;
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      // A read can be repeated. Of a write that was sent nobody knows, and a second one might do harm.
      if (error.sent && request.method !== 'GET') {
        throw new RefusedError(
          'outcome_unknown',
          `${endpoint} did not answer (${error.message}) after the request was sent, so it is not known whether the ` +
            'change was made. Read before trying again.',
        );
      }
      failures.push(`${endpoint} (${error.message})`);
    }
  }
  if (refused !== undefined) throw refused;
  throw new UnreachableError(
    `No node can be reached: ${failures.join(', ')}. Start one, or name them with --endpoints or RAFTKV_ENDPOINTS.`,
  );
}

/** Asks exactly one node. */
export async function callNode(
  endpoint: string,
  timeoutMs: number,
  request: ClientRequest,
): Promise<ClientAnswer> {
  const query = Object.entries({ ...request.query, timeout: `${timeoutMs}ms`, redirect: 'never' })
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
    .join('&');
  const { protocol, hostname, port } = new URL(endpoint);
  if (protocol !== 'http:') {
    throw new RaftkvError('usage', `${endpoint}: only http:// is spoken. Correct --endpoints.`);
  }
  return new Promise((resolve, reject) => {
    let sent = false;
    const outgoing = httpRequest({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? 80 : port,
      method: request.method,
      path: `${request.path}?${query}`,
      headers: {
        ...request.headers,
        ...(request.body === undefined ? {} : { 'Content-Length': String(request.body.length) }),
      },
      agent: false,
    });
    const connectTimer = setTimeout(() => outgoing.destroy(new Error('no connection')), connectTimeoutMs);
    const answerTimer = setTimeout(
      () => outgoing.destroy(new Error('no answer in time')),
      timeoutMs + answerMarginMs,
    );
    const fail = (error: Error & { readonly code?: string }): void => {
      clearTimeout(connectTimer);
      clearTimeout(answerTimer);
      reject(new CallError(error.code ?? error.message, sent));
    };
    outgoing.on('socket', (socket) => {
      socket.once('connect', () => {
        sent = true;
        clearTimeout(connectTimer);
      });
    });
    outgoing.on('error', fail);
    outgoing.on('response', (incoming) => {
      collect(incoming).then((body) => {
        clearTimeout(answerTimer);
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body });
      }, fail);
    });
    outgoing.end(request.body);
  });
}

/** The node did not answer. */
export class CallError extends Error {
  override readonly name = 'CallError';
  /** Whether the request may have reached the node. */
  readonly sent: boolean;

  constructor(reason: string, sent: boolean) {
    super(reason);
    this.sent = sent;
  }
}

async function collect(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function refusalOf(answer: ClientAnswer): RefusedError {
  const text = answer.body.toString('utf8');
  try {
    const problem: unknown = JSON.parse(text);
    if (typeof problem === 'object' && problem !== null && 'code' in problem && 'detail' in problem) {
      return new RefusedError(String(problem.code), String(problem.detail), { ...problem });
    }
  } catch {
    // Not ours: something else answers at this address.
  }
  return new RefusedError(
    'not_raftkv',
    `The answer has status ${answer.status} and is not of this server. Check --endpoints.`,
  );
}

export function parseEndpoints(text: string): readonly string[] {
  return text.split(',').map((part) => {
    const trimmed = part.trim();
    const endpoint = clientUrl(trimmed.includes('://') ? trimmed : `http://${trimmed}`);
    if (endpoint === undefined) {
      throw new RaftkvError(
        'usage',
        `The endpoint ${JSON.stringify(part)} is not one. Give URLs such as http://127.0.0.1:8101, separated by commas.`,
      );
    }
    return endpoint.text;
  });
}

/** Percent-encodes every byte of a key that has a meaning in a URL; slashes stay readable. */
export function keyPath(key: string): string {
  return `/v1/kv/${queryText(key)}`;
}

export function queryText(text: string): string {
  return encodeBytes(bytesOfArgument(text), /[A-Za-z0-9\-._~/]/);
}

/** The bytes of an argument. Throws `usage` where it was not text: Node has put U+FFFD in the place of what it was. */
export function bytesOfArgument(text: string): Buffer {
  if (text.includes('\ufffd')) {
    throw new RaftkvError(
      'usage',
      `${JSON.stringify(text)} was not UTF-8 as it was given, and would stand for other bytes. Give such a value by --file ` +
        'or on standard input; such a key needs the HTTP API, where it is percent-encoded: /v1/kv/%FF.',
    );
  }
  return Buffer.from(text, 'utf8');
}

function encodeBytes(bytes: Buffer, plain: RegExp): string {
  let text = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    text += plain.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}
