import type { Answer } from './call.js';
import type { FetchHeaders } from './fetch.js';
import type { Consistency } from './options.js';
import { textOf } from './wire.js';

/** A key's value, as `get` reads it. */
export class Entry {
  readonly value: Uint8Array;
  /** The revision of the key's last change: for `ifRevision`. */
  readonly modRevision: number;
  /** The revision at which the key was created; undefined where the node is of a version that does not tell. */
  readonly createRevision: number | undefined;
  /** How often the key was put since it was created; undefined where the node is of a version that does not tell. */
  readonly version: number | undefined;
  /** The lease that the key goes with. */
  readonly lease: string | undefined;
  readonly contentType: string;
  /** The store's revision on the node that answered. */
  readonly revision: number;
  /** What was really served. */
  readonly consistency: Consistency;

  constructor({ headers, body }: Answer) {
    this.value = body;
    this.modRevision = Number(headers.get('ETag')?.replaceAll('"', ''));
    this.createRevision = numberIn(headers, 'Raftkv-Create-Revision');
    this.version = numberIn(headers, 'Raftkv-Version');
    this.lease = headers.get('Raftkv-Lease') ?? undefined;
    this.contentType = headers.get('Content-Type') ?? '';
    this.revision = Number(headers.get('Raftkv-Revision'));
    this.consistency = headers.get('Raftkv-Consistency') as Consistency;
  }

  /** The value as text. U+FFFD stands where the bytes are not UTF-8. */
  get text(): string {
    return textOf(this.value);
  }

  /** The value read as JSON; its shape is for the caller to know. Throws SyntaxError where it is none. */
  json<Value = unknown>(): Value {
    return JSON.parse(this.text);
  }
}

function numberIn(headers: FetchHeaders, name: string): number | undefined {
  const text = headers.get(name);
  return text === null ? undefined : Number(text);
}
