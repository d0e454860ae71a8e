import type {
  Command,
  CommandResult,
  Item,
  LeaseExpireCommand,
  RaiseVersionCommand,
  TickCommand,
} from '../kv/types.js';
import type { Index } from '../raft/types.js';

/** What clients can ask for: all but what only a leader says. */
export type ClientCommand = Exclude<Command, LeaseExpireCommand | TickCommand | RaiseVersionCommand>;

/** What a client asked for. */
export type Request =
  | { readonly kind: 'command'; readonly command: ClientCommand }
  | { readonly kind: 'get'; readonly key: Uint8Array; readonly byLease: boolean };

/** What a client knows of the outcome. */
export type Outcome =
  | { readonly kind: 'done'; readonly result: CommandResult }
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
