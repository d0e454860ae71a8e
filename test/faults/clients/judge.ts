import { Violation } from '../../../src/sim/checkers/checker.js';

/** What a checker finds, in words; undefined where it finds nothing. Any other error is one of the tester. */
export function violationOf(look: () => void): string | undefined {
  try {
    look();
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error.message;
    throw error;
  }
}
