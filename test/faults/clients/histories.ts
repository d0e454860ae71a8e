import type { Item } from '../../../src/kv/types.js';
import { RecordedStates } from './recorded-states.js';

/** What a test says of a key at one revision: its value, or null for a deletion. */
export type Step = Readonly<Record<string, string | null>>;

/** An item of which the states count the rest. */
export function itemOfText(key: string, value: string): Item {
  return {
    key: Buffer.from(key),
    value: Buffer.from(value),
    createRevision: 0,
    modRevision: 0,
    version: 0,
    contentType: '',
  };
}

/** The states that follow from these steps, the first of which is revision 1. */
export function statesOf(...steps: readonly Step[]): RecordedStates {
  const states = new RecordedStates();
  for (const step of steps) {
    const changes = Object.entries(step).map(
      ([key, value]) => [key, value === null ? undefined : itemOfText(key, value)] as const,
    );
    states.append(new Map(changes));
  }
  return states;
}
