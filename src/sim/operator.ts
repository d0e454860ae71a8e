import { RaftkvError } from '../errors.js';
import { memberOf } from '../raft/configuration.js';
import type { NodeId } from '../raft/types.js';
import { InjectedDiskError } from './disk.js';
import type { Prng } from './prng.js';
import type { Server, SimNode } from './sim-node.js';
import { type Trace, TraceKind } from './trace.js';
import type { Scheduler } from './virtual-clock.js';

/** How long an operator waits for an answer. */
const OPERATOR_TIMEOUT_MS = 2000;
/** New voters have to start and to catch up first. */
const SET_TIMEOUT_MS = 4000;
/** Who stops a node gives it so long to finish what it has begun. */
const STOP_PATIENCE_MS = 2000;
const RETRY_MS = 150;
/** How long a node in quarantine runs on: long enough to campaign, if it did. */
const QUARANTINE_MS_MIN = 50;
const QUARANTINE_MS_MAX = 1500;

/** The cluster, as far as it matters here. */
interface Machines {
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly leader: SimNode | undefined;
  readonly serving: SimNode[];
  start(node: SimNode): void;
  fail(error: Error): void;
  ask<Value>(
    node: SimNode,
    task: (server: Server) => Promise<Value> | Value,
    settle: (outcome: { readonly value: Value } | { readonly error: unknown }) => void,
  ): void;
}

/** What people do with a cluster: hand leadership over, stop and start nodes, remove members, put new disks into machines. */
export class Operator {
  /** What was begun and has not ended. */
  private busyCount = 0;
  private readonly replaced = new Set<SimNode>();
  /** Machines that are breaking and will be replaced. */
  private readonly breaking = new Set<SimNode>();

  constructor(
    private readonly cluster: Machines,
    private readonly random: Prng,
  ) {}

  /** Whether nothing is under way that could still change something. */
  get isIdle(): boolean {
    return this.busyCount === 0 && !this.isReplacing;
  }

  /** Whether an answer to something is awaited. */
  get isAsking(): boolean {
    return this.busyCount > 0;
  }

  /** Whether a machine is being replaced: one at a time, as long as the others can spare it. */
  get isReplacing(): boolean {
    return this.replaced.size + this.breaking.size > 0;
  }

  handOver(leader: SimNode, to: NodeId | undefined): void {
    this.ask(leader, `hand leadership over to ${to ?? 'the best'}`, ({ service }) =>
      service.transferLeadership(to, OPERATOR_TIMEOUT_MS),
    );
  }

  remove(asked: SimNode, victim: NodeId, done: () => void): void {
    const task = ({ service }: Server) => service.removeMember(victim, false, OPERATOR_TIMEOUT_MS);
    this.ask(asked, `remove ${victim}`, task, (error) => {
      if (error === null) done();
    });
  }

  /** Asks for these and no other voters, of which some may still have to come. */
  setVoters(asked: SimNode, wanted: readonly SimNode[], done: () => void): void {
    const members = wanted.map(({ id, address }) => ({ id, peer: address }));
    const task = ({ service }: Server) => service.setMembers(members, false, SET_TIMEOUT_MS);
    this.ask(asked, `make the voters ${wanted.map(({ id }) => id).join(', ')}`, task, (error) => {
      if (error === null) done();
    });
  }

  /** Stops a node as a service manager does, and starts it again after a while. */
  stop(node: SimNode, downMs: number): void {
    const { process, server } = node;
    if (process === null || server === null) return;
    this.note(`${node.id} is told to stop`);
    this.busyCount += 1;
    const startAgain = () => {
      stopListening();
      this.cluster.scheduler.after(downMs, null, () => {
        this.busyCount -= 1;
        this.cluster.start(node);
      });
    };
    const stopListening = process.whenEnded(startAgain);
    this.cluster.scheduler.after(0, process, () => {
      server.node.stop(STOP_PATIENCE_MS, Promise.resolve()).then(
        () => node.crash('has stopped'),
        (error: unknown) => {
          // What it wanted to write last may fail like any other write.
          if (error instanceof InjectedDiskError) node.crash('stops, and its last write failed');
          else this.cluster.fail(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  /** A machine is breaking: until it is replaced, nobody removes others, because those that are left could be too few. */
  expectReplacement(node: SimNode): void {
    this.breaking.add(node);
  }

  /** A node is in quarantine: it runs on for a while, and is replaced when somebody has read what it says. */
  seeToQuarantine(node: SimNode): void {
    if (this.breaking.has(node)) return;
    this.expectReplacement(node);
    const noticedMs = this.random.between(QUARANTINE_MS_MIN, QUARANTINE_MS_MAX);
    this.cluster.scheduler.after(noticedMs, null, () => this.replace(node));
  }

  /**
   * Takes a machine out of the cluster for good and puts another of the same name in its place, which must not be taken for it
   * (correctness row 16): the member is removed, and only when that is certain the new one asks to be added.
   */
  replace(node: SimNode): void {
    this.breaking.delete(node);
    if (this.replaced.has(node)) return;
    this.replaced.add(node);
    node.isInService = false;
    node.crash('will be replaced');
    this.removeReplaced(node);
  }

  /**
   * Looks again and again after members that were named anew while their machines were away: those hear that they were removed, and
   * say what to do, which is done.
   */
  readmit(): void {
    const configuration = this.cluster.leader?.server?.node.raft.configuration;
    for (const node of this.cluster.serving) {
      const member = configuration && memberOf(configuration, node.id);
      const isRemoved = node.isInService && node.server?.node.raft.isRemoved === true;
      if (isRemoved && member?.incarnation === '') this.replace(node);
    }
    this.cluster.scheduler.after(RETRY_MS, null, () => this.readmit());
  }

  private removeReplaced(node: SimNode): void {
    const again = () => this.cluster.scheduler.after(RETRY_MS, null, () => this.removeReplaced(node));
    const asked = this.cluster.leader ?? this.random.pick(this.cluster.serving);
    if (asked === undefined) {
      again();
      return;
    }
    const task = ({ service }: Server) => service.removeMember(node.id, false, OPERATOR_TIMEOUT_MS);
    this.ask(asked, `remove ${node.id}, which will be replaced`, task, (error) => {
      const isGone = error instanceof RaftkvError && error.code === 'member_not_found';
      if (error !== null && !isGone) {
        again();
        return;
      }
      node.replaceDisk();
      node.isInService = true;
      this.replaced.delete(node);
      this.cluster.start(node);
    });
  }

  private ask(
    node: SimNode,
    what: string,
    task: (server: Server) => Promise<unknown>,
    settled: (error: unknown) => void = () => {},
  ): void {
    this.note(`the operator asks ${node.id} to ${what}`);
    this.busyCount += 1;
    this.cluster.ask(node, task, (outcome) => {
      this.busyCount -= 1;
      const error = 'value' in outcome ? null : outcome.error;
      this.note(`the operator is told: ${error === null ? 'done' : String(error)} (${what})`);
      settled(error);
    });
  }

  private note(what: string): void {
    this.cluster.trace.note(TraceKind.fault, 0, what.length, 0, () => `! ${what}`);
  }
}
