import type {
  Command,
  CommandResult,
  Item,
  LeaseExpireCommand,
  RaiseVersionCommand,
  TickCommand,
  TxnCommand,
} from '../kv/types.js';
import type { Index } from '../raft/types.js';

/** Keys to which one transaction does several things. They are judged by the log alone: see `checkers/reference-model.ts`. */
export const REWRITTEN_PREFIX = 'rewritten-';

/** What clients can ask for: all but what only a leader says. */
export type ClientCommand = Exclude<Command, LeaseExpireCommand | TickCommand | RaiseVersionCommand>;

/** What a client asked for. */
export type Request =
  | { readonly kind: 'command'; readonly command: ClientCommand }
  | { readonly kind: 'get'; readonly key: Uint8Array; readonly byLease: boolean };

/** What a client knows of the outcome. */
export type Outcome =
  | {
      readonly kind: 'done';
      readonly result: CommandResult;
      /** Of a transaction that only reads: how far the state was that answered, where that can be known. */
      readonly appliedIndex?: Index;
    }
  | {
      readonly kind: 'read';
      readonly item: Item | undefined;
      /** How far the state was that answered; undefined where the client cannot know, over HTTP. */
      readonly appliedIndex: Index | undefined;
    }
  /** Certainly nothing happened. */
  | { readonly kind: 'refused' }
  /** It may have taken effect, may do so at any later time, or never (correctness row 26). */
  | { readonly kind: 'unknown' };

/** One request and its answer, in the order of the whole run. */
export interface Operation {
  readonly client: number;
  readonly request: Request;
  readonly invokedAt: number;
  /** Infinity while there is no answer. */
  returnedAt: number;
  outcome: Outcome;
}

/** A transaction that a node answers as a read, without the log; undefined for everything else. */
export function readingOf(request: Request): TxnCommand | undefined {
  if (request.kind !== 'command' || request.command.kind !== 'txn') return undefined;
  const { idempotency, success, failure } = request.command;
  const onlyReads = [...success, ...failure].every(({ kind }) => kind === 'get' || kind === 'getPrefix');
  return idempotency === undefined && onlyReads ? request.command : undefined;
}
