/** Bytes as a text of one character each: it can be looked up, printed and compared. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.length === b.length && Buffer.compare(a, b) === 0);
}

/** Room for the name at the beginning of a value. */
const VALUE_NAME_BYTES = 24;

/** The value of this number, which no other put writes, and so many spaces. */
export function makeValue(number: number, padding: number): Uint8Array {
  const name = `value-${number}`;
  const value = Buffer.alloc(name.length + padding, ' ');
  value.write(name, 'latin1');
  return value;
}

/** By what a value is told from all others, without the spaces. */
export function nameOfValue(value: Uint8Array): string {
  return textOf(value.subarray(0, VALUE_NAME_BYTES)).trimEnd();
}
