import type { VersionRange } from '../../cluster-version.js';
import type { Command, CommandResult } from '../../kv/types.js';
import type { Configuration, Entry, Index, Message, NodeId, Role, Term } from '../../raft/types.js';
import { sameBytes } from '../bytes.js';
import type { DurableView } from '../durable-log.js';

/** What the checkers read of a consensus core; `Raft` has all of it. */
export interface CoreView {
  readonly role: Role;
  readonly term: Term;
  readonly commitIndex: Index;
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  /** Up to which index it takes its log to be on disk. */
  readonly durableIndex: Index;
  readonly configuration: Configuration;
  /** Why the node is in quarantine; null while it is not. */
  readonly quarantine: string | null;
  /** Where it stands in the log. */
  readonly configurationIndex: Index;
  termAt(index: Index): Term | undefined;
  entries(first: Index, last: Index): readonly Entry[];
  /** Whether a read at this reading of the node's clock needs no round. */
  holdsLease(reading: number): boolean;
  /** A leader's view of another server. */
  follower(id: NodeId): { readonly match: Index } | undefined;
}

/** One node as the checkers see it: what it believes, and what its disk holds. */
export interface NodeView {
  readonly id: NodeId;
  readonly incarnation: string;
  /** The cluster versions that the program on the machine speaks. */
  readonly program: VersionRange;
  readonly durable: DurableView;
  /** The disk lost something that it had, so it is not what the others were promised. */
  readonly isDamaged: boolean;
  /** Null while the node does not run. */
  readonly core: CoreView | null;
  /** What the node's clock reads; null while it does not run. */
  readonly clockMs: number | null;
}

/** One property. It is told what happens, keeps what it needs, and throws a {@link Violation}. */
export interface Checker {
  /** What is promised, and where it is stated. */
  readonly property: string;
  /** The core was made from what is on the disk. */
  started?(node: NodeView, core: CoreView): void;
  /** Something in the core may have changed. */
  stepped?(node: NodeView, core: CoreView): void;
  /** A message came and was handled. */
  received?(node: NodeView, core: CoreView, message: Message): void;
  /** A message leaves the node. */
  sending?(node: NodeView, core: CoreView, message: Message): void;
  /** A write to the log reached the disk, whether the node hears of it or not. */
  persisted?(node: NodeView): void;
  /** The state machine applied an entry. */
  applied?(node: NodeView, entry: Entry, result: CommandResult | undefined, digest: string): void;
  /** A command was applied at an index, by whoever was the first to. */
  performed?(index: Index, command: Command, result: CommandResult): void;
  /** The process ended. */
  ended?(node: NodeView): void;
}

/** A property does not hold. */
export class Violation extends Error {
  override readonly name = 'Violation';

  constructor(
    readonly property: string,
    detail: string,
  ) {
    super(`${property}: ${detail}`);
  }
}

/** Whether two entries are the same in everything; of one index and term they must be. */
export function sameEntry(a: Entry, b: Entry): boolean {
  return a === b || (a.term === b.term && a.kind === b.kind && sameBytes(a.payload, b.payload));
}
