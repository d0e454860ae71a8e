/** What an operation does to one key, whose state is a number: 0 when it is absent. */
export type RegisterAction =
  | { readonly kind: 'read'; readonly value: number }
  | {
      readonly kind: 'write';
      /** 0 deletes. */
      readonly value: number;
      /** The state in which alone it takes effect; null for any. */
      readonly condition: number | null;
      /** What the client was told; null when it was told nothing of use. */
      readonly result: {
        /** Whether the condition held. */
        readonly took: boolean;
        /** Whether the key existed before. */
        readonly existed: boolean;
        /** The state that was found instead of the condition's; null if that is not known. */
        readonly found: number | null;
      } | null;
    };

/** An operation on one key. */
export interface RegisterOperation {
  readonly invokedAt: number;
  /** Infinity for an unknown outcome: it may take effect at any later time, or never. */
  readonly returnedAt: number;
  readonly action: RegisterAction;
}

export type Verdict =
  | { readonly kind: 'linearizable' }
  /** No order explains the answers; `longest` is how many operations an order could explain at most. */
  | { readonly kind: 'violation'; readonly longest: number }
  /** The search was given up. */
  | { readonly kind: 'undecided' };

/** A call or a return in the list of events, which the search takes out and puts back. */
interface ListItem {
  readonly id: number;
  readonly operation: RegisterOperation;
  readonly isCall: boolean;
  /** For a call, its return. */
  match: ListItem | null;
  previous: ListItem | null;
  next: ListItem | null;
}

const STEPS_MAX = 2_000_000;

/**
 * Whether one order of the operations, in which none is before another that had returned before it was invoked, explains
 * every answer. The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) as improved by Lowe
 * ("Testing for linearizability", 2017): depth first over which operation takes effect next, remembering the pairs of
 * (operations that took effect, state) from which the rest is known to be impossible. An operation of unknown outcome
 * returns after everything else and may be left out.
 */
export function checkLinearizable(
  operations: readonly RegisterOperation[],
  stepsMax: number = STEPS_MAX,
): Verdict {
  const head = toList(operations);
  const done = new Bits(operations.length);
  const seen = new Set<string>();
  const path: { readonly item: ListItem; readonly stateBefore: number }[] = [];
  let mustReturn = 0;
  for (const operation of operations) if (operation.returnedAt < Number.POSITIVE_INFINITY) mustReturn += 1;
  let state = 0;
  let longest = 0;
  let item = head.next;
  for (let steps = 0; mustReturn > 0; steps += 1) {
    if (steps > stepsMax) return { kind: 'undecided' };
    if (item?.isCall) {
      const after = effect(item.operation.action, state);
      // An unknown outcome that would change nothing may as well never have been.
      const isIdle = item.match === null && after === state;
      const key = after === null || isIdle ? null : done.with(item.id, after);
      if (after !== null && key !== null && !seen.has(key)) {
        seen.add(key);
        path.push({ item, stateBefore: state });
        state = after;
        done.set(item.id);
        if (item.match !== null) mustReturn -= 1;
        longest = Math.max(longest, path.length);
        lift(item);
        item = head.next;
      } else {
        item = item.next;
      }
      continue;
    }
    // An operation returned that has not taken effect: something before it must be undone.
    const last = path.pop();
    if (last === undefined) return { kind: 'violation', longest };
    state = last.stateBefore;
    done.clear(last.item.id);
    if (last.item.match !== null) mustReturn += 1;
    unlift(last.item);
    item = last.item.next;
  }
  return { kind: 'linearizable' };
}

/** The state afterwards, or null when the answer is impossible in this state. */
function effect(action: RegisterAction, state: number): number | null {
  if (action.kind === 'read') return action.value === state ? state : null;
  const { value, condition, result } = action;
  const takes = condition === null || condition === state;
  if (result !== null) {
    if (result.took !== takes || result.existed !== (state !== 0)) return null;
    if (result.found !== null && result.found !== state) return null;
  }
  return takes ? value : state;
}

/** Calls and returns in their order; operations of unknown outcome never return. */
function toList(operations: readonly RegisterOperation[]): ListItem {
  const events: { readonly at: number; readonly item: ListItem }[] = [];
  operations.forEach((operation, id) => {
    const call: ListItem = { id, operation, isCall: true, match: null, previous: null, next: null };
    events.push({ at: operation.invokedAt, item: call });
    if (operation.returnedAt === Number.POSITIVE_INFINITY) return;
    call.match = { id, operation, isCall: false, match: null, previous: null, next: null };
    events.push({ at: operation.returnedAt, item: call.match });
  });
  events.sort((a, b) => a.at - b.at);
  const nobody = { invokedAt: 0, returnedAt: 0, action: { kind: 'read', value: 0 } } as const;
  const head: ListItem = {
    id: -1,
    operation: nobody,
    isCall: false,
    match: null,
    previous: null,
    next: null,
  };
  let last = head;
  for (const { item } of events) {
    last.next = item;
    item.previous = last;
    last = item;
  }
  return head;
}

/** Takes an operation out of the list. */
function lift(call: ListItem): void {
  unlink(call);
  if (call.match !== null) unlink(call.match);
}

/** Puts it back where it was. */
function unlift(call: ListItem): void {
  if (call.match !== null) relink(call.match);
  relink(call);
}

function unlink(item: ListItem): void {
  if (item.previous !== null) item.previous.next = item.next;
  if (item.next !== null) item.next.previous = item.previous;
}

function relink(item: ListItem): void {
  if (item.previous !== null) item.previous.next = item;
  if (item.next !== null) item.next.previous = item;
}

/** A set of operations, which with a state makes a key to remember. */
class Bits {
  private readonly words: Uint16Array;

  constructor(size: number) {
    this.words = new Uint16Array(Math.ceil(size / 16));
  }

  set(id: number): void {
    this.words[id >> 4] = (this.words[id >> 4] ?? 0) | (1 << (id & 15));
  }

  clear(id: number): void {
    this.words[id >> 4] = (this.words[id >> 4] ?? 0) & ~(1 << (id & 15));
  }

  /** A text that stands for this set with one more in it, and the state. */
  with(id: number, state: number): string {
    this.set(id);
    const key = `${state}:${String.fromCharCode(...this.words)}`;
    this.clear(id);
    return key;
  }
}
