import { jsonBytes, textOf } from './wire.js';

/** An item as the server writes it: bytes that are not UTF-8 stand under `keyBase64` and `valueBase64`. */
export interface ItemJson {
  readonly key?: string;
  readonly keyBase64?: string;
  readonly value?: string;
  readonly valueBase64?: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** How often the key was put since it was created. */
  readonly version: number;
  readonly lease?: string;
  readonly contentType?: string;
}

/** One version of a key. */
export class Item {
  private readonly wire: ItemJson;

  constructor(wire: ItemJson) {
    this.wire = wire;
  }

  /** U+FFFD stands where the bytes are not UTF-8; see {@link keyBytes}. */
  get key(): string {
    return this.wire.key ?? textOf(this.keyBytes);
  }

  get keyBytes(): Uint8Array {
    return jsonBytes(this.wire.key, this.wire.keyBase64);
  }

  /** Empty where a listing left the values out. */
  get value(): Uint8Array {
    return jsonBytes(this.wire.value, this.wire.valueBase64);
  }

  /** The value as text. U+FFFD stands where the bytes are not UTF-8. */
  get text(): string {
    return this.wire.value ?? textOf(this.value);
  }

  get createRevision(): number {
    return this.wire.createRevision;
  }

  /** The revision of the key's last change: for `ifRevision`. */
  get modRevision(): number {
    return this.wire.modRevision;
  }

  /** How often the key was put since it was created. */
  get version(): number {
    return this.wire.version;
  }

  /** The lease that the key goes with. */
  get lease(): string | undefined {
    return this.wire.lease;
  }

  get contentType(): string | undefined {
    return this.wire.contentType;
  }

  /** The value read as JSON; its shape is for the caller to know. Throws SyntaxError where it is none. */
  json<Value = unknown>(): Value {
    return JSON.parse(this.text);
  }

  /** As the server wrote it. */
  toJSON(): ItemJson {
    return this.wire;
  }
}
