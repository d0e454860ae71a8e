import { encodeCommand, stampCommand } from '../../src/kv/command-codec.js';
import type { Command, CommandResult, Item, LogTime } from '../../src/kv/types.js';
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
    const now = this.at(this.revision);
    if (command.kind === 'deletePrefix') {
      return this.#remove([...now.keys()].filter((key) => key.startsWith(text(command.prefix))));
    }
    if (command.kind !== 'put' && command.kind !== 'delete') throw new Error('Not built yet.');
    const key = text(command.key);
    const existing = now.get(key);
    const { ifRevision, ifAbsent } = command;
    if ((ifAbsent && existing) || (ifRevision !== undefined && existing?.modRevision !== ifRevision)) {
      return { kind: 'preconditionFailed', revision: this.revision, modRevision: existing?.modRevision ?? 0 };
    }
    if (command.kind === 'delete') return this.#remove(existing ? [key] : []);
    const revision = this.revision + 1;
    this.states.push(
      new Map(now).set(key, {
        key: command.key,
        value: command.value,
        contentType: command.contentType,
        createRevision: existing?.createRevision ?? revision,
        modRevision: revision,
        version: (existing?.version ?? 0) + 1,
      }),
    );
    return { kind: 'put', revision, created: !existing };
  }

  #remove(keys: readonly string[]): CommandResult {
    if (keys.length === 0) return { kind: 'delete', revision: this.revision, deleted: 0 };
    const next = new Map(this.at(this.revision));
    for (const key of keys) next.delete(key);
    this.states.push(next);
    return { kind: 'delete', revision: this.revision, deleted: keys.length };
  }

  list(prefix: string, revision: number): Item[] {
    return [...this.at(revision).entries()]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, item]) => item);
  }
}
