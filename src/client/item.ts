import { fromMember, toText } from './bytes.js';

/** A key with its value as of some revision. */
export interface Item {
  readonly key: Uint8Array;
  /** The key as text; for a key that is not UTF-8 with U+FFFD in places. */
  readonly keyText: string;
  readonly value: Uint8Array;
  /** The revision at which the key came to be. */
  readonly createRevision: number;
  /** The revision of its last change. */
  readonly modRevision: number;
  /** How often it was put since it came to be. */
  readonly version: number;
  /** The lease that it is attached to; undefined for none. */
  readonly lease: string | undefined;
  /** '' for application/octet-stream. */
  readonly contentType: string;
}

export type JsonObject = Readonly<Record<string, unknown>>;

export function toItem(json: JsonObject): Item {
  const key = fromMember(json, 'key');
  return {
    key,
    keyText: toText(key),
    value: fromMember(json, 'value'),
    createRevision: Number(json['createRevision']),
    modRevision: Number(json['modRevision']),
    version: Number(json['version']),
    lease: typeof json['lease'] === 'string' ? json['lease'] : undefined,
    contentType: typeof json['contentType'] === 'string' ? json['contentType'] : '',
  };
}
