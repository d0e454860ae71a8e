/** A whole number in decimal text as an add writes it, without an empty sign or leading zeros. */
const decimal = /^-?(?:0|[1-9][0-9]{0,15})$/;

/** The number that a value holds; undefined where it is no whole number in decimal text, or none that is exact. */
function numberOf(value: Uint8Array): number | undefined {
  // Longer than any that is exact.
  if (value.length > 17) return undefined;
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1');
  const number = decimal.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(number) ? number : undefined;
}

/** A sum, or why there is none. */
export type Sum = number | 'notANumber' | 'sumOutOfRange';

/** Adds to the number that a key holds, or to `initial` where the key does not exist. */
export function addTo(
  existing: { readonly value: Uint8Array } | undefined,
  delta: number,
  initial: number,
): Sum {
  const before = existing === undefined ? initial : numberOf(existing.value);
  if (before === undefined) return 'notANumber';
  const sum = before + delta;
  return Number.isSafeInteger(sum) ? sum : 'sumOutOfRange';
}
