/**
 * Hostile variants of valid messages. A mutation replaces one field at a time, or a few, by a value at the edge of its type,
 * because a message that is wrong everywhere is refused at its first field and tries nothing behind it.
 */
import type { Prng } from '../../src/sim/prng.js';

/** Terms, indexes, rounds and times: the edges of doubles, of safe integers, and of the 48 bits of an entry's header. */
const NUMBERS = [
  0,
  -1,
  1,
  0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  2 ** 31,
  2 ** 32,
  2 ** 32 + 1,
  2 ** 47,
  2 ** 48 - 1,
  2 ** 48,
  2 ** 52,
  2 ** 52 + 1,
  2 ** 53 - 1,
  2 ** 53,
  Number.MAX_VALUE,
];

/** Names, addresses and sentences: ones that end a line, move a cursor, leave a directory, or name what every object has. */
const TEXTS = [
  '',
  'n9',
  'a\nb',
  'a\r\nLocation: http://127.9.9.9:1',
  '\u001b[2J\u001b[31mowned',
  '\u0000',
  '../../etc/passwd',
  'http://127.9.9.9:1/evil',
  '127.9.9.9:1',
  '[::1',
  '__proto__',
  'constructor',
  'toString',
  '{"a":1}',
  '\ud800',
  'x'.repeat(300),
  'y'.repeat(70_000),
];

/** The largest piece of bytes that a mutation adds. */
const ADDED_BYTES_MAX = 70_000;
/** How often a list of messages is repeated within one write. */
const REPEATS_MAX = 64;

/** A copy of the message in which one to three fields, at any depth, are hostile. */
export function mutate<Message extends object>(message: Message, random: Prng): Message {
  const copy = clone(message);
  for (let left = random.integer(1, 3); left > 0; left -= 1) mutateOneField(copy, random);
  return copy;
}

/** The same bytes with some of them changed, left out, repeated or added. */
export function mutateBytes(bytes: Uint8Array, random: Prng): Buffer {
  const at = random.integer(0, bytes.length);
  const head = Buffer.from(bytes.subarray(0, at));
  const tail = Buffer.from(bytes.subarray(at));
  switch (random.integer(0, 4)) {
    case 0: {
      const flipped = Buffer.from(bytes);
      for (let left = random.integer(1, 4); left > 0 && flipped.length > 0; left -= 1) {
        const place = random.integer(0, flipped.length - 1);
        flipped[place] = (flipped[place] ?? 0) ^ (1 << random.integer(0, 7));
      }
      return flipped;
    }
    case 1:
      return head;
    case 2:
      return Buffer.concat([head, randomBytes(random, random.integer(1, 40)), tail]);
    case 3:
      return Buffer.concat([head, head, tail]);
    default:
      return Buffer.concat([bytes, randomBytes(random, random.integer(1, 400))]);
  }
}

export function randomBytes(random: Prng, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.integer(0, 255)));
}

function mutateOneField(target: object, random: Prng): void {
  const fields = Object.entries(target);
  const [name, value] = random.pick(fields) ?? ['', undefined];
  // One level further down in most cases, because that is where most fields are.
  const holdsFields = value !== null && typeof value === 'object' && !(value instanceof Uint8Array);
  if (holdsFields && Object.keys(value).length > 0 && random.chance(0.8)) mutateOneField(value, random);
  else Reflect.set(target, name, hostile(value, random));
}

function hostile(value: unknown, random: Prng): unknown {
  if (typeof value === 'number') {
    const near = [value + 1, value - 1, value * 2, value + 2 ** 32, value + 2 ** 33];
    return random.pick(random.chance(0.3) ? near : NUMBERS);
  }
  if (typeof value === 'string') return random.pick(TEXTS);
  if (typeof value === 'boolean') return !value;
  if (value instanceof Uint8Array) return hostileBytes(value, random);
  if (Array.isArray(value)) {
    if (random.chance(0.3) || value.length === 0) return [];
    return Array.from({ length: random.integer(2, REPEATS_MAX) }, () => random.pick(value));
  }
  // A message that is absent.
  return null;
}

function hostileBytes(value: Uint8Array, random: Prng): Uint8Array {
  const choice = random.integer(0, 9);
  if (choice === 0) return new Uint8Array();
  if (choice === 1) return Buffer.from([0xff, 0xff, 0xff]);
  if (choice === 2) return randomBytes(random, random.integer(1, 64));
  if (choice === 3) return Buffer.alloc(ADDED_BYTES_MAX, random.integer(0, 255));
  return mutateBytes(value, random);
}

function clone<Value>(value: Value): Value {
  if (value instanceof Uint8Array) return Buffer.from(value) as unknown as Value;
  if (Array.isArray(value)) return value.map(clone) as Value;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, clone(field)])) as Value;
}
