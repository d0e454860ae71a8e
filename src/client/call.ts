import type { FetchHeaders } from './fetch.js';
import type { QueryValues } from './wire.js';

export interface Call {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: QueryValues;
  readonly headers?: Readonly<Record<string, string>>;
  /** Bytes, or the text of a JSON document. */
  readonly body?: Uint8Array<ArrayBuffer> | string;
  /** Who can answer it. */
  readonly where: 'leader' | 'anywhere';
  /** How it is repeated when its answer is lost: as it is, under an idempotency key, or not at all. */
  readonly repeat: 'always' | 'keyed' | 'never';
  /** It changes nothing, although it is no GET: a lost answer leaves no doubt. */
  readonly reads?: boolean;
  /** How long the server may hold the answer back on purpose, beyond the timeout. */
  readonly waitMs?: number;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: FetchHeaders;
  readonly body: Uint8Array;
}

/** What came of one attempt. */
export type Outcome =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'redirected'; readonly to: string | undefined }
  | { readonly kind: 'failed'; readonly reason: string; readonly sent: boolean };

export interface StreamCall extends Pick<Call, 'path' | 'query' | 'headers' | 'signal'> {
  /** Looks at the head of the answer before the first chunk; what it throws ends the stream. */
  readonly checkHead?: (headers: FetchHeaders) => void;
}
