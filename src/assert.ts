/**
 * Assertions mark programmer errors: a state that the algorithm says cannot be. They stay on in production,
 * because a node that stops is repaired by its peers, and a node that goes on from an impossible state may
 * harm them. Operating errors (a full disk, a lost peer, a bad request) are never assertions.
 */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/**
 * Throws {@link AssertionError} with `message`, a full sentence, unless `condition` holds. Where this runs for every entry
 * the message is a function, so that no text is put together for what holds.
 */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionError(typeof message === 'string' ? message : message());
}

/** The value, which the surrounding invariant says is there; throws {@link AssertionError} otherwise. */
export function present<Value>(value: Value | undefined | null, message: string | (() => string)): Value {
  if (value === undefined || value === null) {
    throw new AssertionError(typeof message === 'string' ? message : message());
  }
  return value;
}

/** Marks a branch that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`Unreachable value: ${JSON.stringify(value)}.`);
}
