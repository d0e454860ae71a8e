import type { MemberStatus, NodeStatus } from '../../src/http/port.js';

/** What a client knows of a write (correctness row 26). */
export type WriteOutcome =
  | { readonly kind: 'done'; readonly status: number; readonly revision: number; readonly created: boolean }
  /** `current` is the key's revision, 0 where it does not exist. */
  | { readonly kind: 'preconditionFailed'; readonly current: number }
  | { readonly kind: 'missing' }
  /** Certainly nothing happened. */
  | { readonly kind: 'refused'; readonly why: string }
  /** It may have happened, may still happen, or never. */
  | { readonly kind: 'unknown'; readonly why: string };

export type ReadOutcome =
  /** `storeRevision` is how far the node was that answered. */
  | {
      readonly kind: 'found';
      readonly value: string;
      readonly revision: number;
      readonly storeRevision: number;
    }
  | { readonly kind: 'missing'; readonly storeRevision: number }
  | { readonly kind: 'unavailable'; readonly why: string };

export interface CallOptions {
  /** Added to the URL, such as `redirect=never`. */
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

const CALL_TIMEOUT_MS = 6000;

/** What answers to writes may hold. */
interface Answer {
  readonly revision?: number;
  readonly created?: boolean;

  readonly code?: string;
  readonly detail?: string;
}

/** Failures to connect: the request was never sent. Everything else may have reached the node. */
const NOT_SENT = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT']);

export async function put(
  url: string,
  key: string,
  value: string | Uint8Array<ArrayBuffer>,
  options: CallOptions = {},
): Promise<WriteOutcome> {
  return write('PUT', url, key, options, value);
}

export async function remove(url: string, key: string, options: CallOptions = {}): Promise<WriteOutcome> {
  return write('DELETE', url, key, options);
}

async function write(
  method: string,
  url: string,
  key: string,
  options: CallOptions,
  value?: string | Uint8Array<ArrayBuffer>,
): Promise<WriteOutcome> {
  let response: Response;
  let text: string;
  try {
    response = await call(url, keyPath(key), options, {
      method,
      ...(value === undefined ? {} : { body: value }),
    });
    text = await response.text();
  } catch (error) {
    return { kind: NOT_SENT.has(codeOf(error)) ? 'refused' : 'unknown', why: whyOf(error) };
  }
  const answer = JSON.parse(text || '{}') as Answer;
  const why = `${response.status} ${answer.code}: ${answer.detail}`;
  switch (response.status) {
    case 200:
    case 201:
      return {
        kind: 'done',
        status: response.status,
        revision: Number(answer.revision),
        created: answer.created === true,
      };
    case 404:
      return { kind: 'missing' };
    case 412:
      return { kind: 'preconditionFailed', current: answer.revision ?? 0 };
    case 503:
      return { kind: 'refused', why };
    case 504:
      return { kind: 'unknown', why };
    default:
      throw new Error(`${method} ${key} on ${url} was answered with ${why}.`);
  }
}

export async function get(url: string, key: string, options: CallOptions = {}): Promise<ReadOutcome> {
  try {
    const response = await call(url, keyPath(key), options);
    const value = await response.text();
    const storeRevision = Number(response.headers.get('raftkv-revision'));
    if (response.status === 200) {
      const revision = Number(response.headers.get('etag')?.replaceAll('"', ''));
      return { kind: 'found', value, revision, storeRevision };
    }
    if (response.status === 404) return { kind: 'missing', storeRevision };
    if (response.status === 503) return { kind: 'unavailable', why: value };
    throw new Error(`GET ${key} on ${url} was answered with ${response.status}: ${value}`);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('GET ')) throw error;
    return { kind: 'unavailable', why: whyOf(error) };
  }
}

/** Every key with a prefix and its value, page by page. */
export async function list(url: string, prefix: string, query: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  let cursor = '';
  do {
    const next = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const response = await call(url, `/v1/kv?prefix=${encodeURIComponent(prefix)}&limit=1000${next}`, {
      query,
    });
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    const page = (await response.json()) as {
      items: { key: string; value: string }[];
      nextCursor?: string | null;
    };
    for (const { key, value } of page.items) found.set(key, value);
    cursor = page.nextCursor ?? '';
  } while (cursor !== '');
  return found;
}

/** What a node says of itself; undefined while it does not answer. */
export async function statusOf(url: string): Promise<NodeStatus | undefined> {
  try {
    const response = await call(url, '/v1/status', { timeoutMs: 1000 });
    return response.ok ? ((await response.json()) as NodeStatus) : undefined;
  } catch {
    return undefined;
  }
}

export async function isReady(url: string): Promise<boolean> {
  try {
    const response = await call(url, '/readyz', { timeoutMs: 1000 });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

export async function membersOf(url: string): Promise<readonly MemberStatus[]> {
  const response = await call(url, '/v1/members', {});
  const { members } = (await response.json()) as { members: readonly MemberStatus[] };
  return members;
}

/** One request; rejects where there is no answer in time. */
export function call(
  url: string,
  path: string,
  options: CallOptions = {},
  init: RequestInit = {},
): Promise<Response> {
  const { query = '', headers = {}, timeoutMs = CALL_TIMEOUT_MS } = options;
  const joined = query === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${query}`;
  return fetch(`${url}${joined}`, { ...init, headers, signal: AbortSignal.timeout(timeoutMs) });
}

function keyPath(key: string): string {
  return `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`;
}

/** The reason that fetch keeps in `cause`. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : '';
}

function whyOf(error: unknown): string {
  return `${error instanceof Error ? error.message : String(error)} ${codeOf(error)}`.trim();
}
