/** Reads LevelDB's numbers and byte strings from a buffer, one after the other. */
export class FieldReader {
  constructor(
    private readonly bytes: Buffer,
    public at = 0,
    private readonly end = bytes.length,
  ) {}

  get isAtEnd(): boolean {
    return this.at >= this.end;
  }

  /** A number of seven bits a byte. Undefined where the bytes end before it does, or where it is not a safe integer. */
  varint(): number | undefined {
    let value = 0;
    for (let factor = 1; this.at < this.end && factor < 2 ** 63; factor *= 128) {
      const byte = this.bytes[this.at++] ?? 0;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : undefined;
    }
    return undefined;
  }

  /** Bytes behind their length. */
  lengthPrefixed(): Buffer | undefined {
    const length = this.varint();
    return length === undefined ? undefined : this.take(length);
  }

  take(length: number): Buffer | undefined {
    if (length > this.end - this.at) return undefined;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}
