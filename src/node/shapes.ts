import { RaftkvError } from '../errors.js';

/**
 * Checks of JSON that another node sent. A shape returns the value with the type that it checked, and nothing else of what was
 * sent: members that a later version may add are left out. It throws `bad_request`, naming the place.
 */
export type Shape<Value> = (value: unknown, place: string) => Value;

export type ShapeOf<Checked> = Checked extends Shape<infer Value> ? Value : never;

export const nothing: Shape<undefined> = () => undefined;

export const flag: Shape<boolean> = (value, place) => {
  if (typeof value === 'boolean') return value;
  throw wrong(place, 'true or false');
};

/** A whole number from 0 on. */
export const counter: Shape<number> = (value, place) => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw wrong(place, 'a whole number');
};

/** A number of milliseconds, possibly with a fraction. */
export const duration: Shape<number> = (value, place) => {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw wrong(place, 'a number of milliseconds');
};

/** A text that keeps to a pattern, which bounds its length as well. */
export function text(pattern: string): Shape<string> {
  const expression = new RegExp(pattern);
  return (value, place) => {
    if (typeof value === 'string' && expression.test(value)) return value;
    throw wrong(place, `a text like ${pattern}`);
  };
}

/** Sentences for people: no control characters. */
export const sentence: Shape<string> = (value, place) => {
  if (typeof value === 'string' && value.length <= SENTENCE_LENGTH_MAX && /^\P{Cc}*$/u.test(value))
    return value;
  throw wrong(place, 'a sentence');
};

export function oneOf<Name extends string>(...names: readonly Name[]): Shape<Name> {
  return (value, place) => {
    const known = names.find((name) => name === value);
    if (known !== undefined) return known;
    throw wrong(place, names.join(' or '));
  };
}

export function list<Element>(shape: Shape<Element>): Shape<readonly Element[]> {
  return (value, place) => {
    if (!Array.isArray(value) || value.length > LIST_LENGTH_MAX)
      throw wrong(place, 'a list of bounded length');
    return value.map((element, at) => shape(element, `${place}[${at}]`));
  };
}

export function orNull<Value>(shape: Shape<Value>): Shape<Value | null> {
  return (value, place) => (value === null ? null : shape(value, place));
}

type Shapes<Value> = { readonly [Name in keyof Value]-?: Shape<Exclude<Value[Name], undefined>> };

/** An object; those of `optional` may be absent. */
export function record<Value extends object>(
  shapes: Shapes<Value>,
  optional: readonly (keyof Value & string)[] = [],
): Shape<Value> {
  const entries = Object.entries(shapes) as [keyof Value & string, Shape<unknown>][];
  return (value, place) => {
    if (typeof value !== 'object' || value === null) throw wrong(place, 'an object');
    const given = value as Readonly<Record<string, unknown>>;
    const checked: Partial<Record<string, unknown>> = {};
    for (const [name, shape] of entries) {
      if (given[name] === undefined && optional.includes(name)) continue;
      checked[name] = shape(given[name], `${place}.${name}`);
    }
    // Each member was checked by the shape that its type demands.
    return checked as Value;
  };
}

/** Members of a cluster, or lists of their names; far above what one has. */
const LIST_LENGTH_MAX = 10_000;
const SENTENCE_LENGTH_MAX = 4_096;

function wrong(place: string, expected: string): RaftkvError {
  return new RaftkvError(
    'bad_request',
    `What the other node sent does not fit: ${place} is not ${expected}.`,
  );
}
