import { decodeCommand } from '../../kv/command-codec.js';
import type { CommandResult } from '../../kv/types.js';
import {
  type Entry,
  EntryKind,
  type Index,
  type Message,
  type NodeId,
  type Role,
  type Term,
} from '../../raft/types.js';
import { Acknowledged } from './acknowledged.js';
import { AppliedIsDurable } from './applied-is-durable.js';
import type { Checker, CoreView, NodeView } from './checker.js';
import { CommitOnMajority } from './commit-on-majority.js';
import { CommitVerified } from './commit-verified.js';
import { ConfigurationInForce } from './configuration-in-force.js';
import { CountedWrites } from './counted-writes.js';
import { DamageFound } from './damage-found.js';
import { DurableBeforeAnswer } from './durable-before-answer.js';
import { ElectedByMajority } from './elected-by-majority.js';
import { ElectionSafety } from './election-safety.js';
import { ExactMembers } from './exact-members.js';
import { IdleOutside } from './idle-outside.js';
import { LeaderAppendOnly } from './leader-append-only.js';
import { LeaderCompleteness } from './leader-completeness.js';
import { LeaderContact } from './leader-contact.js';
import { LeaseAlone } from './lease-alone.js';
import { LeaseTime, type TrueTime } from './lease-time.js';
import { LockEnds } from './lock-ends.js';
import { LockOrder } from './lock-order.js';
import { LogCut } from './log-cut.js';
import { LogMatching } from './log-matching.js';
import { LoyalVoter } from './loyal-voter.js';
import { MadeOnce } from './made-once.js';
import { MatchIndex } from './match-index.js';
import { Monotonic } from './monotonic.js';
import { OneChangeAtATime } from './one-change-at-a-time.js';
import { PreVote } from './pre-vote.js';
import { PromotedInTime } from './promoted-in-time.js';
import { RaisedByAll } from './raised-by-all.js';
import { ReferenceModel } from './reference-model.js';
import { RemovedLeader } from './removed-leader.js';
import { ShownStates } from './shown-states.js';
import { SilentInQuarantine } from './silent-in-quarantine.js';
import { StateMachineSafety } from './state-machine-safety.js';
import { TermBegins } from './term-begins.js';
import { TransferClaimed } from './transfer-claimed.js';
import { TransferTarget } from './transfer-target.js';
import { VoteOnce } from './vote-once.js';

/** The few numbers by which a change of a core shows; most steps change none of them. */
interface Glance {
  role: Role;
  term: Term;
  commitIndex: Index;
  firstIndex: Index;
  lastIndex: Index;
  lastTerm: Term | undefined;
  durableIndex: Index;
}

/** All properties, told of everything that happens. */
export class Checkers {
  readonly electionSafety = new ElectionSafety();
  readonly leaderCompleteness = new LeaderCompleteness();
  readonly acknowledged = new Acknowledged();
  readonly madeOnce = new MadeOnce();
  readonly referenceModel: ReferenceModel;
  readonly shownStates: ShownStates;
  readonly lockOrder: LockOrder;
  readonly lockEnds: LockEnds;
  readonly leaseTime: LeaseTime;
  readonly silentInQuarantine = new SilentInQuarantine();
  readonly damageFound = new DamageFound();
  private readonly all: readonly Checker[];
  /** Few checkers look at each kind of event. */
  private readonly ofSteps: readonly Checker[];
  private readonly ofReceived: readonly Checker[];
  private readonly ofSent: readonly Checker[];
  private readonly ofPersisted: readonly Checker[];
  private readonly ofApplied: readonly Checker[];
  private readonly ofPerformed: readonly Checker[];
  /** The last index that anybody applied. */
  private performedThrough: Index = 0;
  private readonly glances = new Map<NodeId, Glance>();

  /**
   * @param report Takes what a checker found. Nothing is thrown: the checkers are called from within the nodes, which
   * would take an error for one of their own.
   */
  constructor(
    nodes: () => ReadonlyMap<NodeId, NodeView>,
    { historyRevisions, historyBytes }: { readonly historyRevisions: number; readonly historyBytes: number },
    time: TrueTime,
    private readonly report: (error: Error) => void,
  ) {
    this.referenceModel = new ReferenceModel(historyRevisions, historyBytes);
    this.shownStates = new ShownStates(this.referenceModel);
    this.lockOrder = new LockOrder(this.referenceModel);
    this.lockEnds = new LockEnds(this.referenceModel);
    this.leaseTime = new LeaseTime(time);
    this.all = [
      this.electionSafety,
      new LeaderAppendOnly(),
      new LogMatching(),
      this.leaderCompleteness,
      new StateMachineSafety(),
      this.referenceModel,
      this.madeOnce,
      this.leaseTime,
      new Monotonic(),
      new MatchIndex(nodes),
      new VoteOnce(),
      new DurableBeforeAnswer(),
      new CommitOnMajority(nodes),
      new ConfigurationInForce(),
      new OneChangeAtATime(),
      new RemovedLeader(),
      new AppliedIsDurable(),
      new CommitVerified(),
      new LogCut(),
      new PreVote(),
      new TermBegins(),
      new TransferTarget(nodes),
      new IdleOutside(),
      new LeaderContact(),
      new RaisedByAll(),
      new LeaseAlone(nodes),
      new LoyalVoter(time),
      new ElectedByMajority(),
      new TransferClaimed(),
      new CountedWrites(),
      new ExactMembers(),
      new PromotedInTime(nodes, time),
      this.lockEnds,
      this.silentInQuarantine,
      this.acknowledged,
    ];
    this.ofSteps = this.all.filter(({ stepped }) => stepped !== undefined);
    this.ofReceived = this.all.filter(({ received }) => received !== undefined);
    this.ofSent = this.all.filter(({ sending }) => sending !== undefined);
    this.ofPersisted = this.all.filter(({ persisted }) => persisted !== undefined);
    this.ofApplied = this.all.filter(({ applied }) => applied !== undefined);
    this.ofPerformed = this.all.filter(({ performed }) => performed !== undefined);
  }

  started(node: NodeView, core: CoreView): void {
    this.tell(this.all, (checker) => checker.started?.(node, core));
    this.stepped(node, core);
  }

  /** After every step of a node. When nothing changed that the properties speak of, nothing is checked. */
  stepped(node: NodeView, core: CoreView): void {
    const { role, term, commitIndex, firstIndex, lastIndex, durableIndex } = core;
    const lastTerm = core.termAt(lastIndex);
    const before = this.glances.get(node.id);
    if (
      before !== undefined &&
      before.lastIndex === lastIndex &&
      before.commitIndex === commitIndex &&
      before.role === role &&
      before.term === term &&
      before.firstIndex === firstIndex &&
      before.lastTerm === lastTerm &&
      before.durableIndex === durableIndex
    ) {
      return;
    }
    this.glances.set(node.id, { role, term, commitIndex, firstIndex, lastIndex, lastTerm, durableIndex });
    try {
      for (const checker of this.ofSteps) checker.stepped?.(node, core);
    } catch (error) {
      this.found(error);
    }
  }

  received(node: NodeView, core: CoreView, message: Message): void {
    try {
      for (const checker of this.ofReceived) checker.received?.(node, core, message);
    } catch (error) {
      this.found(error);
    }
  }

  sending(node: NodeView, core: CoreView, message: Message): void {
    try {
      for (const checker of this.ofSent) checker.sending?.(node, core, message);
    } catch (error) {
      this.found(error);
    }
  }

  persisted(node: NodeView): void {
    this.tell(this.ofPersisted, (checker) => checker.persisted?.(node));
  }

  applied(node: NodeView, entry: Entry, result: CommandResult | undefined, digest: string): void {
    this.tell(this.ofApplied, (checker) => checker.applied?.(node, entry, result, digest));
    if (entry.index <= this.performedThrough) return;
    this.performedThrough = entry.index;
    if (entry.kind !== EntryKind.command || result === undefined) return;
    const { command } = decodeCommand(entry.payload);
    this.tell(this.ofPerformed, (checker) => checker.performed?.(entry.index, command, result));
  }

  ended(node: NodeView): void {
    this.glances.delete(node.id);
    this.tell(this.all, (checker) => checker.ended?.(node));
  }

  private tell(checkers: readonly Checker[], task: (checker: Checker) => void): void {
    try {
      for (const checker of checkers) task(checker);
    } catch (error) {
      this.found(error);
    }
  }

  private found(error: unknown): void {
    this.report(error instanceof Error ? error : new Error(String(error)));
  }
}
