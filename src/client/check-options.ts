/**
 * The names of a method's options, for {@link checkOptions}. The type demands each of them, so that the list cannot lag behind
 * the interface.
 */
export type OptionNames<Options> = { readonly [Name in keyof Options]-?: true };

/**
 * Throws TypeError for an option that the method does not know. A misspelt `ifAbsent` would otherwise make a conditional change
 * an unconditional one.
 */
export function checkOptions<Options>(
  method: string,
  options: Options,
  names: OptionNames<NoInfer<Options>>,
): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`${method} takes its options as an object, not ${describe(options)}.`);
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(names, name)) continue;
    const known = Object.keys(names).join(', ');
    throw new TypeError(
      `${method} has no option ${JSON.stringify(name)}. It takes ${known}. Correct its name.`,
    );
  }
}

/** Throws TypeError for what stands for no bytes, which would otherwise be stored as nothing or as its name. */
export function checkBytes(what: string, value: unknown): void {
  if (typeof value === 'string' || value instanceof Uint8Array) return;
  throw new TypeError(`${what} must be a string or a Uint8Array, not ${describe(value)}.`);
}

/** As {@link checkBytes}, of what may be left out. */
export function checkOptionalBytes(what: string, value: unknown): void {
  if (value !== undefined) checkBytes(what, value);
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value !== 'object') return typeof value;
  return `an object of type ${value.constructor?.name ?? 'Object'}`;
}
