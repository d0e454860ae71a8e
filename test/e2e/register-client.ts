import type { CommandResult, DeleteCommand, PutCommand } from '../../src/kv/types.js';
import type { History } from '../../src/sim/history.js';
import type { Outcome } from '../../src/sim/operation.js';
import type { Prng } from '../../src/sim/prng.js';
import { get, put, type ReadOutcome, remove, type WriteOutcome } from './client.js';
import type { Revisions } from './revisions.js';

/** How long a node may take, and after which the client gives up by itself: a node that hangs answers nothing at all. */
const NODE_TIMEOUT = 'timeout=2s';
const CALL_TIMEOUT_MS = 2500;

/** Keys that clients share, and what they were told of them. */
export interface Registers {
  readonly keys: readonly string[];
  readonly history: History;
}

export interface RegisterClientOptions {
  readonly client: number;
  /** The nodes, of which each step asks one. */
  readonly urls: readonly string[];
  readonly random: Prng;
  readonly revisions: Revisions;
}

/** A client of registers: does one thing after the other at nodes of its choice and writes down what it was told. */
export class RegisterClient {
  /** The last revision that this client saw of each key, for conditions and for reads of its own writes. */
  private readonly seen = new Map<string, number>();
  private count = 0;

  constructor(private readonly options: RegisterClientOptions) {}

  async step({ keys, history }: Registers): Promise<void> {
    const { random, urls } = this.options;
    this.count += 1;
    const url = random.pick(urls) ?? '';
    const key = random.pick(keys) ?? '';
    const query = random.chance(0.5) ? `${NODE_TIMEOUT}&redirect=never` : NODE_TIMEOUT;
    switch (random.integer(0, 8)) {
      case 0:
      case 1:
      case 2:
        return this.read(history, url, key, query);
      case 3:
        return this.readOwnWrite(history, url, key);
      case 4:
        return this.change(history, url, query, { kind: 'delete', key: Buffer.from(key) });
      case 5:
        return this.change(history, url, query, {
          kind: 'delete',
          key: Buffer.from(key),
          ...this.asSeen(key),
        });
      case 6:
        return this.change(history, url, query, { ...this.putOf(key), ifAbsent: true });
      case 7:
        return this.change(history, url, query, { ...this.putOf(key), ...this.asSeen(key) });
      default:
        return this.change(history, url, query, this.putOf(key));
    }
  }

  /** A linearizable read, which is part of the history. */
  async read(history: History, url: string, key: string, query: string): Promise<void> {
    const { client, revisions } = this.options;
    const operation = history.invoke(client, { kind: 'get', key: Buffer.from(key), byLease: false });
    const { floor } = revisions;
    const outcome = await get(url, key, { query, timeoutMs: CALL_TIMEOUT_MS });
    this.noteRead(key, outcome, floor);
    history.settle(operation, outcomeOfRead(key, outcome));
  }

  /** A stale read that waits for what this client knows already. */
  private async readOwnWrite(history: History, url: string, key: string): Promise<void> {
    const seen = this.seen.get(key) ?? 0;
    const query = `consistency=stale&minRevision=${seen}&${NODE_TIMEOUT}`;
    const outcome = await get(url, key, { query, timeoutMs: CALL_TIMEOUT_MS });
    this.noteRead(key, outcome, seen);
    if (outcome.kind !== 'found') return;
    const { value, revision } = outcome;
    // The next change may be on the condition of what only this read has shown.
    history.saw({ key: Buffer.from(key), value: Buffer.from(value), modRevision: revision });
    if (revision < seen) {
      this.options.revisions.violations.push(
        `A stale read of ${key} with minRevision=${seen}, which changed it, gave revision ${revision}.`,
      );
    }
  }

  private noteRead(key: string, outcome: ReadOutcome, floor: number): void {
    const { revisions } = this.options;
    if (outcome.kind === 'unavailable') return;
    revisions.answered(outcome.storeRevision, floor, `A read of ${key}`);
    if (outcome.kind === 'missing') return;
    revisions.note(outcome.revision, { [key]: outcome.value });
    this.seen.set(key, Math.max(outcome.revision, this.seen.get(key) ?? 0));
  }

  private putOf(key: string) {
    const value = Buffer.from(`${this.options.client}-${this.count}`);
    return { kind: 'put', key: Buffer.from(key), value, contentType: '' } as const;
  }

  private asSeen(key: string) {
    return { ifRevision: this.seen.get(key) ?? 1 };
  }

  private async change(
    history: History,
    url: string,
    query: string,
    command: PutCommand | DeleteCommand,
  ): Promise<void> {
    const { client, revisions } = this.options;
    const operation = history.invoke(client, { kind: 'command', command });
    const { floor } = revisions;
    const key = Buffer.from(command.key).toString();
    const headers: Record<string, string> = {};
    if (command.ifAbsent) headers['if-none-match'] = '*';
    if (command.ifRevision !== undefined) headers['if-match'] = `"${command.ifRevision}"`;
    const options = { query, headers, timeoutMs: CALL_TIMEOUT_MS };
    const value = command.kind === 'put' ? Buffer.from(command.value).toString() : undefined;
    const answer = await (value === undefined ? remove(url, key, options) : put(url, key, value, options));
    if (answer.kind === 'done') {
      revisions.acknowledged(answer.revision, floor, { [key]: value ?? null });
      if (value !== undefined) this.seen.set(key, answer.revision);
    }
    history.settle(operation, outcomeOfWrite(command.kind, answer));
  }
}

export function outcomeOfRead(key: string, outcome: ReadOutcome): Outcome {
  if (outcome.kind === 'unavailable') return { kind: 'refused' };
  const item =
    outcome.kind === 'missing'
      ? undefined
      : {
          key: Buffer.from(key),
          value: Buffer.from(outcome.value),
          modRevision: outcome.revision,
          createRevision: 0,
          version: 0,
          contentType: '',
        };
  return { kind: 'read', item, appliedIndex: undefined };
}

function outcomeOfWrite(kind: 'put' | 'delete', answer: WriteOutcome): Outcome {
  switch (answer.kind) {
    case 'refused':
    case 'unknown':
      return { kind: answer.kind };
    case 'preconditionFailed':
      return done({ kind: 'preconditionFailed', revision: 0, modRevision: answer.current });
    case 'missing':
      return done({ kind: 'delete', revision: 0, deleted: 0 });
    case 'done':
      return done(
        kind === 'put'
          ? { kind: 'put', revision: answer.revision, created: answer.created }
          : { kind: 'delete', revision: answer.revision, deleted: 1 },
      );
  }
}

function done(result: CommandResult): Outcome {
  return { kind: 'done', result };
}
