import { InvalidArgumentError } from 'commander';

/** A number on the command line. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new InvalidArgumentError('Give a whole number above 0.');
  return count;
}
