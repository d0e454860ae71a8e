import { CLUSTER_VERSION_MAX, SPOKEN_VERSIONS } from '../cluster-version.js';
import { errorCatalogue, RaftkvError, StorageDamaged } from '../errors.js';
import type { ClientService } from '../node/client-service.js';
import { memberOf } from '../raft/configuration.js';
import type { Message, NodeId } from '../raft/types.js';
import { Violation } from './checkers/checker.js';
import { Checkers } from './checkers/checkers.js';
import { InjectedDiskError } from './disk.js';
import { Network } from './network.js';
import { Operator } from './operator.js';
import type { Prng } from './prng.js';
import type { Settings } from './settings.js';
import { type Server, SimNode, type World } from './sim-node.js';
import { Trace } from './trace.js';
import { type Process, Scheduler } from './virtual-clock.js';

/** How long a node that asks to be added waits for an answer. */
const JOIN_TIMEOUT_MS = 3000;
/** A process that stopped by itself is started again by whatever watches over it. */
const RESTART_MS = 300;

/** All nodes of a run, what they share, and what an operator can do with them. */
export class Cluster {
  readonly nodes = new Map<NodeId, SimNode>();
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly trace: Trace;
  readonly checkers: Checkers;
  readonly operator: Operator;
  readonly counts = { elections: 0, crashes: 0, starts: 0 };
  /** How far the clocks of all processes have leapt ahead, together. */
  leaptMs = 0;
  /** A leader that is cut off from all others, as long as that holds. */
  lonelyLeader: SimNode | null = null;
  /** How often a node dies at the write to its log that names a snapshot as its state. */
  installCrashRate: number;
  private failure: Error | null = null;
  private readonly random: Prng;
  private readonly installRandom: Prng;
  private readonly world: World;

  constructor(
    readonly settings: Settings,
    private readonly seed: Prng,
    writeLine: ((line: string) => void) | null,
  ) {
    this.random = seed.fork('cluster');
    this.installRandom = seed.fork('installs');
    this.installCrashRate = settings.installCrashRate;
    this.scheduler = new Scheduler((process) => this.afterStep(process));
    const { scheduler } = this;
    this.trace = new Trace(() => scheduler.nowMs, writeLine);
    this.checkers = new Checkers(
      () => this.nodes,
      settings,
      this,
      (error) => this.fail(error),
    );
    this.network = new Network(
      scheduler,
      seed.fork('network'),
      this.trace,
      settings.weather,
      settings.snapshotPartMsMax,
      settings.snapshotResetRate,
      (from, message) => this.beforeSend(from, message),
    );
    this.world = {
      settings,
      scheduler,
      network: this.network,
      trace: this.trace,
      checkers: this.checkers,
      counts: this.counts,
      join: (process, request) => this.join(process, request),
      mayBeInQuarantine: (node, reason) => this.mayBeInQuarantine(node, reason),
      diesAtInstall: (node) => this.diesAtInstall(node),
      beyondRepair: (node) => this.operator.seeToQuarantine(node),
      check: (task) => this.check(task),
      stopped: (node, error) => this.nodeStopped(node, error),
    };
    this.operator = new Operator(this, seed.fork('operator'));
    const founders = Array.from({ length: settings.nodeCount }, (_, at) => `n${at + 1}`);
    for (const id of founders) this.addNode(id, 'found', founders);
  }

  /** Something is wrong: the run ends with the first such error, once the event in which it showed is over. */
  fail(error: Error): void {
    this.failure ??= error;
  }

  /** Runs a check from outside of the nodes. */
  check(task: () => void): void {
    try {
      task();
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Lets time pass until then, or until `isDone`. Throws what {@link fail} was given. */
  runUntil(timeMs: number, isDone: () => boolean = () => false): void {
    this.scheduler.runUntil(timeMs, () => this.failure !== null || isDone());
    if (this.failure !== null) throw this.failure;
  }

  // As the checkers of time see it ---------------------------------------------------------------------------------

  get nowMs(): number {
    return this.scheduler.nowMs;
  }

  get clockDrift(): number {
    return this.settings.clockDrift;
  }

  /** The clock of a process is ahead of what it was by so much from now on. */
  leap(process: Process, leapMs: number): void {
    process.leapMs += leapMs;
    this.leaptMs += leapMs;
  }

  startAll(): void {
    for (const node of this.nodes.values()) this.start(node);
  }

  /** Starts a node if it is not running. A machine that was taken out of service stays off, whoever would start it. */
  start(node: SimNode): void {
    if (node.isInService) node.start();
  }

  /** A machine that nobody has heard of starts and asks to be added. */
  startNewMember(): SimNode {
    const node = this.addNode(`n${this.nodes.size + 1}`, 'join', []);
    this.start(node);
    return node;
  }

  get running(): SimNode[] {
    return [...this.nodes.values()].filter((node) => node.isRunning);
  }

  /** Whether a machine in service has a damaged state. */
  get isRepairing(): boolean {
    return [...this.nodes.values()].some((node) => node.isInService && node.disk.hasDamagedState);
  }

  /** Nodes that can be asked for something. */
  get serving(): SimNode[] {
    return this.running.filter((node) => node.server !== null);
  }

  /** Who leads the highest term, if anybody does. */
  get leader(): SimNode | undefined {
    let leader: SimNode | undefined;
    for (const node of this.nodes.values()) {
      const raft = node.server?.node.raft;
      if (raft?.role === 'leader' && raft.term > (leader?.server?.node.raft.term ?? 0)) leader = node;
    }
    return leader;
  }

  /** The members as the leader, or whoever is furthest, has them. */
  get members(): readonly SimNode[] {
    const best = this.leader ?? this.serving.sort((a, b) => b.durable.lastIndex - a.durable.lastIndex)[0];
    const configuration = best?.server?.node.raft.configuration;
    if (configuration === undefined) return [];
    return [...this.nodes.values()].filter((node) => memberOf(configuration, node.id));
  }

  /**
   * Asks a node for something, from outside: the request takes its time, a paused node answers late, and a node that
   * dies never does. `settle` is called at most once.
   *
   * @param isRead Whether what is answered comes from the state of that node.
   */
  ask<Value>(
    node: SimNode,
    task: (server: Server) => Promise<Value> | Value,
    settle: (outcome: { readonly value: Value } | { readonly error: unknown }) => void,
    isRead = false,
  ): void {
    const { process, server, disk } = node;
    if (process === null || server === null || !server.isOpen) {
      settle({ error: new RaftkvError('not_ready', `${node.id} is not running. Nothing was changed.`) });
      return;
    }
    let isSettled = false;
    const settleOnce: typeof settle = (outcome) => {
      if (isSettled) return;
      isSettled = true;
      stopListening();
      settle(outcome);
    };
    const stopListening = process.whenEnded(() =>
      settleOnce({ error: new RaftkvError('outcome_unknown', `${node.id} ended before it answered.`) }),
    );
    this.scheduler.after(this.random.between(0.1, 1), process, () => {
      const isInQuarantine = server.node.raft.quarantine !== null;
      const isKnownAsDamaged = isRead && node.hasFoundDamage;
      Promise.resolve()
        .then(() => task(server))
        .then(
          (value) => {
            if (isInQuarantine && value !== undefined)
              this.check(() => this.checkers.silentInQuarantine.answered(node));
            if (isKnownAsDamaged && value !== undefined)
              this.check(() => this.checkers.damageFound.answered(node));
            settleOnce({ value });
          },
          (error: unknown) => {
            if (error instanceof StorageDamaged) {
              if (disk.hasDamagedState) node.withdraw(process, error.what);
              else
                this.fail(
                  new Violation(
                    'No read of a state that is whole finds damage (row 29)',
                    `${node.id}: ${error.message}`,
                  ),
                );
            }
            settleOnce({ error });
          },
        );
    });
  }

  /** {@link ask} for what comes from the state of that node. */
  read<Value>(...[node, task, settle]: Parameters<typeof this.ask<Value>>): void {
    this.ask(node, task, settle, true);
  }

  private addNode(id: NodeId, firstStart: 'found' | 'join', founders: readonly NodeId[]): SimNode {
    const node = new SimNode(
      id,
      this.nodes.size + 1,
      firstStart,
      founders,
      this.world,
      this.seed.fork('nodes'),
    );
    this.nodes.set(id, node);
    return node;
  }

  /** What `--join` does over HTTP: asks one node after the other, until one of them knows. */
  private join(process: Process, request: Parameters<ClientService['addMember']>[0]): Promise<string> {
    let left = this.random.shuffled(this.serving);
    return new Promise((resolve, reject) => {
      const later = (task: () => void) => {
        this.scheduler.after(this.network.latencyMs(), process, task);
      };
      const askNext = (problem: unknown) => {
        left = left.filter(({ server }) => server !== null);
        const node = left.shift();
        const isRefused = problem instanceof RaftkvError && errorCatalogue[problem.code].status < 500;
        if (node === undefined || isRefused) {
          later(() => reject(problem));
          return;
        }
        this.ask(
          node,
          ({ service }) => service.addMember(request, JOIN_TIMEOUT_MS),
          (outcome) =>
            later(() => {
              if ('value' in outcome) resolve(outcome.value.cluster);
              else askNext(outcome.error);
            }),
        );
      };
      askNext(new RaftkvError('unavailable', 'No node answers.'));
    });
  }

  private afterStep(process: Process): void {
    const node = this.nodes.get(process.name);
    const raft = node?.server?.node.raft;
    if (node && raft) this.checkers.stepped(node, raft);
  }

  private beforeSend(from: NodeId, message: Message): void {
    const node = this.nodes.get(from);
    const raft = node?.server?.node.raft;
    if (node && raft) this.checkers.sending(node, raft, message);
  }

  /** Whatever watches over it starts it again. */
  private diesAtInstall(node: SimNode): boolean {
    if (!this.installRandom.chance(this.installCrashRate)) return false;
    this.scheduler.after(RESTART_MS, null, () => this.start(node));
    return true;
  }

  /** Only a node whose disk lost something has a reason. */
  private mayBeInQuarantine(node: SimNode, reason: Error): boolean {
    // It goes on to repair its state, or says that it cannot.
    if (node.hasFoundDamage) return true;
    if (!(node.isDamaged && tellsOfLoss(reason))) return false;
    this.operator.seeToQuarantine(node);
    return true;
  }

  /** Only a failed disk is a reason to stop, and only a disk that lost something is one not to start again. */
  private nodeStopped(node: SimNode, error: unknown): void {
    if (error instanceof Violation) {
      this.fail(error);
      return;
    }
    if ((node.isDamaged || node.disk.hasDamagedState) && tellsOfLoss(error)) {
      this.operator.replace(node);
      return;
    }
    // Whoever was asked to remove the former one may have answered before that was certain.
    if (error instanceof RaftkvError && error.code === 'member_exists') {
      this.operator.replace(node);
      return;
    }
    // An earlier program meets a cluster that has moved on: it says what to do, which is done.
    const isEarlier = node.startedAs.newest < CLUSTER_VERSION_MAX && error instanceof RaftkvError;
    if (isEarlier && (error.code === 'storage_unusable' || error.code === 'member_not_ready')) {
      node.program = SPOKEN_VERSIONS;
      this.scheduler.after(RESTART_MS, null, () => this.start(node));
      return;
    }
    // It was removed while it asked to be added; started again, it asks anew.
    const wasRemoved = error instanceof RaftkvError && error.code === 'member_not_found';
    if (!(error instanceof InjectedDiskError || wasRemoved)) {
      const stack = error instanceof Error ? error.stack : String(error);
      this.fail(new Violation('A node stops only when its disk fails', `${node.id} stopped: ${stack}`));
      return;
    }
    this.scheduler.after(RESTART_MS, null, () => this.start(node));
  }
}

/** Whether the node says that its disk is not what it was. */
function tellsOfLoss(error: unknown): boolean {
  if (error instanceof StorageDamaged) return true;
  return error instanceof Error && error.message.includes('entries that were acknowledged are gone');
}
