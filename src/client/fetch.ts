/** What this library needs of `fetch`; the platform's own fits. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchResponse>;

export interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly signal: AbortSignal;
  /** Redirects are answers like all others: what is followed, and with which body, is decided here. */
  readonly redirect: 'manual';
}

export interface FetchResponse {
  /** 0 where a browser hides that it was a redirect. */
  readonly status: number;
  readonly headers: FetchHeaders;
  readonly body: FetchBody | null;
}

export interface FetchHeaders {
  get(name: string): string | null;
}

export interface FetchBody {
  getReader(): FetchReader;
  cancel(): Promise<void>;
}

export interface FetchReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

export async function readAll(body: FetchBody | null): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  if (body !== null) {
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (value !== undefined) chunks.push(value);
    }
  }
  const all = new Uint8Array(chunks.reduce((bytes, chunk) => bytes + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** A controller that a caller's signal aborts, too. */
export class Abortable {
  readonly controller = new AbortController();
  private readonly signal: AbortSignal | undefined;
  private readonly abort = (): void => this.controller.abort();

  /** @throws The signal's reason where it has aborted already. */
  constructor(signal: AbortSignal | undefined) {
    signal?.throwIfAborted();
    this.signal = signal;
    signal?.addEventListener('abort', this.abort, { once: true });
  }

  /** Lets go of the caller's signal, which may live much longer than what it could have aborted. */
  release(): void {
    this.signal?.removeEventListener('abort', this.abort);
  }
}

/** Failures before anything was sent. Where a platform does not tell, as browsers do not, the request may have arrived. */
const neverSent: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export function wasSent(error: unknown): boolean {
  return !neverSent.has(codeOf(error));
}

/** Why fetch failed, in a word where there is one. */
export function reasonOf(error: unknown): string {
  const code = codeOf(error);
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'no connection';
  if (typeof code === 'string') return code;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}

/** Node's fetch keeps the system's error as a cause. */
function codeOf(error: unknown): unknown {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('cause' in error && error.cause !== undefined) return codeOf(error.cause);
  return 'code' in error ? error.code : undefined;
}
