import { encodeCommand, stampCommand } from '../../src/kv/command-codec.js';
import type {
  Command,
  CommandResult,
  Compare,
  DeleteCommand,
  Item,
  LogTime,
  PutCommand,
  TxnCommand,
  TxnResult,
} from '../../src/kv/types.js';
import type { Entry } from '../../src/raft/types.js';

export const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
export const text = (value: Uint8Array): string => Buffer.from(value).toString('latin1');

/** The command as a log entry, stamped if a log time is given. */
export function commandEntry(index: number, command: Command, logTimeMs?: LogTime): Entry {
  const payload = encodeCommand(command);
  return {
    index,
    term: 1,
    kind: 1,
    payload: logTimeMs === undefined ? payload : stampCommand(payload, logTimeMs),
  };
}

export function put(
  key: string,
  value: string,
  condition: { ifRevision?: number; ifAbsent?: boolean } = {},
): Command {
  return { kind: 'put', key: bytes(key), value: bytes(value), contentType: '', ...condition };
}

/** The same with all bytes as text, whatever kind of array holds them. */
export function plainBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${text(value)}`;
  if (Array.isArray(value)) return value.map(plainBytes);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plainBytes(member)]));
}

/** An item with its bytes as text, so that it compares and prints well. */
export function plain(item: Item | undefined) {
  return item && { ...item, key: text(item.key), value: text(item.value) };
}

/** The store kept the plainest way: the whole state of every revision. */
export class NaiveStore {
  readonly states: ReadonlyMap<string, Item>[] = [new Map()];
  readonly #historyRevisions: number;

  constructor(historyRevisions: number) {
    this.#historyRevisions = historyRevisions;
  }

  get revision(): number {
    return this.states.length - 1;
  }

  get compactedRevision(): number {
    return Math.max(0, this.revision - this.#historyRevisions);
  }

  at(revision: number): ReadonlyMap<string, Item> {
    return this.states[revision] ?? new Map();
  }

  apply(command: Command): CommandResult {
    switch (command.kind) {
      case 'deletePrefix':
        return this.#remove([...this.#now.keys()].filter((key) => key.startsWith(text(command.prefix))));
      case 'txn':
        return this.#transact(command);
      case 'put':
      case 'delete':
        return this.#change(command);
      default:
        throw new Error('Not built yet.');
    }
  }

  get #now(): ReadonlyMap<string, Item> {
    return this.at(this.revision);
  }

  #change(command: PutCommand | DeleteCommand): CommandResult {
    const key = text(command.key);
    const existing = this.#now.get(key);
    const { ifRevision, ifAbsent } = command;
    if ((ifAbsent && existing) || (ifRevision !== undefined && existing?.modRevision !== ifRevision)) {
      return { kind: 'preconditionFailed', revision: this.revision, modRevision: existing?.modRevision ?? 0 };
    }
    if (command.kind === 'delete') return this.#remove(existing ? [key] : []);
    const next = new Map(this.#now);
    putInto(next, command, this.revision + 1);
    this.states.push(next);
    return { kind: 'put', revision: this.revision, created: !existing };
  }

  #remove(keys: readonly string[]): CommandResult {
    if (keys.length === 0) return { kind: 'delete', revision: this.revision, deleted: 0 };
    const next = new Map(this.#now);
    for (const key of keys) next.delete(key);
    this.states.push(next);
    return { kind: 'delete', revision: this.revision, deleted: keys.length };
  }

  #transact({ compare, success, failure }: TxnCommand): CommandResult {
    const succeeded = compare.every((one) => compares(this.#now.get(text(one.key)), one));
    const next = new Map(this.#now);
    const results = (succeeded ? success : failure).map((operation): TxnResult => {
      const wanted = 'key' in operation ? text(operation.key) : text(operation.prefix);
      const found = [...next.keys()]
        .filter((key) => ('key' in operation ? key === wanted : key.startsWith(wanted)))
        .sort();
      switch (operation.kind) {
        case 'put':
          putInto(next, operation, this.revision + 1);
          return { kind: 'put', key: operation.key, created: found.length === 0 };
        case 'get':
        case 'getPrefix':
          return { kind: 'get', items: found.map((key) => next.get(key) as Item) };
        default:
          for (const key of found) next.delete(key);
          return { kind: 'delete', deleted: found.length };
      }
    });
    const names = new Set([...next.keys(), ...this.#now.keys()]);
    if ([...names].some((key) => next.get(key) !== this.#now.get(key))) this.states.push(next);
    return { kind: 'txn', revision: this.revision, succeeded, results };
  }

  list(prefix: string, revision: number): Item[] {
    return [...this.at(revision).entries()]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, item]) => item);
  }
}

function putInto(
  state: Map<string, Item>,
  {
    key,
    value,
    contentType,
  }: { readonly key: Uint8Array; readonly value: Uint8Array; readonly contentType: string },
  revision: number,
): void {
  const existing = state.get(text(key));
  const version = existing?.version ?? 0;
  state.set(text(key), {
    key,
    value,
    contentType,
    createRevision: existing?.createRevision ?? revision,
    modRevision: revision,
    version: existing?.modRevision === revision ? version : version + 1,
  });
}

function compares(item: Item | undefined, { target, op, value }: Compare): boolean {
  if (target === 'value' && item === undefined) return op === '!=';
  const sides = {
    value: () => [text(item?.value ?? bytes('')), typeof value === 'object' ? text(value) : ''],
    version: () => [item?.version ?? 0, value],
    createRevision: () => [item?.createRevision ?? 0, value],
    modRevision: () => [item?.modRevision ?? 0, value],
    exists: () => [item !== undefined, value],
  };
  const [left = 0, right = 0] = sides[target]();
  return { '=': left === right, '!=': left !== right, '<': left < right, '>': left > right }[op];
}
