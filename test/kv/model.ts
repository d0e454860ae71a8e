import { encodeCommand, stampCommand } from '../../src/kv/command-codec.js';
import type { Command, Condition, Item, LogTime } from '../../src/kv/types.js';
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

export function put(key: string, value: string, condition: Condition = {}): Command {
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
