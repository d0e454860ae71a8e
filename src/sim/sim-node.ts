import { assert } from '../assert.js';
import { SPOKEN_VERSIONS, UNREPORTED_VERSIONS, type VersionRange } from '../cluster-version.js';
import { RaftkvError, StorageDamaged } from '../errors.js';
import { commandCodec } from '../kv/codec.js';
import type { KvStateMachine } from '../kv/state-machine.js';
import type { CommandResult } from '../kv/types.js';
import { Bootstrap } from '../node/bootstrap.js';
import { ClientService } from '../node/client-service.js';
import type { NodeLogger } from '../node/contracts.js';
import { WITHDRAWAL_HANDOVER_MS } from '../node/limits.js';
import { RaftNode } from '../node/raft-node.js';
import { StateRepair } from '../node/state-repair.js';
import { emptyConfiguration } from '../raft/configuration.js';
import type { NodeId } from '../raft/types.js';
import { type Repairs, StateOpening } from '../state-opening.js';
import { LogStore, type RepairRecord } from '../storage/log-store.js';
import type { Receiver } from '../transport/contract.js';
import { type CoreView, type NodeView, Violation } from './checkers/checker.js';
import type { Checkers } from './checkers/checkers.js';
import { LOG_STORE, SimDisk } from './disk.js';
import type { Network } from './network.js';
import { ObservedStateMachine, refuseNewer } from './observed-state-machine.js';
import type { Prng } from './prng.js';
import type { Settings } from './settings.js';
import { type Trace, TraceKind } from './trace.js';
import { NodeClock, Process, type Scheduler } from './virtual-clock.js';

/** What the nodes of one run share. */
export interface World {
  readonly settings: Settings;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly trace: Trace;
  readonly checkers: Checkers;
  readonly counts: { elections: number; crashes: number; starts: number };
  /** Asks a running member to add a node; resolves with the cluster's id. */
  readonly join: (process: Process, request: Parameters<ClientService['addMember']>[0]) => Promise<string>;
  /** Whether this node has a reason for its quarantine; then the operator sees to it after a while. */
  readonly mayBeInQuarantine: (node: SimNode, reason: Error) => boolean;
  /** Whether the process dies at the write to its log that names a snapshot as its state. */
  readonly diesAtInstall: (node: SimNode) => boolean;
  /** A node found its state damaged, and may not repair it; it runs on in quarantine. */
  readonly beyondRepair: (node: SimNode) => void;
  /** Runs a check from outside of the nodes. */
  readonly check: (task: () => void) => void;
  /** A process stopped by itself. */
  readonly stopped: (node: SimNode, error: unknown) => void;
}

/** What runs in a process once it knows its cluster. */
export interface Server {
  readonly node: RaftNode<CommandResult>;
  readonly store: KvStateMachine;
  readonly service: ClientService;
  /** Whether clients are served: not until a state that was replaced is as new as the one before. */
  isOpen: boolean;
}

/**
 * One machine: a disk that outlives crashes, and the process on it if one runs. The process is put together as
 * `server.ts` does it, from the same parts, on a virtual clock, network and disk.
 */
export class SimNode implements NodeView {
  disk: SimDisk;
  readonly address: string;
  process: Process | null = null;
  private clock: NodeClock | null = null;
  /** How the process comes, or came, to its state. */
  private opening: StateOpening | null = null;
  /** What the process remembers from one of its runs to the next. */
  private repairs: Repairs = { wanted: null, count: 0 };
  /** The process that found its state damaged. */
  private withdrawn: Process | null = null;
  server: Server | null = null;
  incarnation = '';
  /** Whether somebody keeps it running: a machine that was taken out of service stays off. */
  isInService = true;
  /** What the program on the machine speaks. */
  program: VersionRange;
  /** What the program spoke with which the newest process was started. */
  startedAs: VersionRange;
  private readonly random: Prng;
  private readonly applyRandom: Prng;
  private readonly clockRate: number;

  constructor(
    readonly id: NodeId,
    readonly number: number,
    private firstStart: 'found' | 'join',
    private readonly founders: readonly NodeId[],
    private readonly world: World,
    seed: Prng,
  ) {
    this.random = seed.fork(id);
    this.applyRandom = this.random.fork('applies');
    this.address = addressOf(id);
    const { clockDrift } = world.settings;
    this.clockRate = 1 + this.random.between(-clockDrift, clockDrift);
    const startsEarlier = world.settings.startsEarlier && this.random.fork('program').chance(EARLIER_RATE);
    this.program = startsEarlier ? UNREPORTED_VERSIONS : SPOKEN_VERSIONS;
    this.startedAs = this.program;
    this.disk = this.newDisk();
  }

  /** The machine gets a new disk: it is somebody else from now on, under the same name. */
  replaceDisk(): void {
    assert(this.process === null, 'A disk is changed while no process runs on it.');
    this.note('has a new, empty disk');
    this.disk = this.newDisk();
    this.firstStart = 'join';
    this.incarnation = '';
  }

  private newDisk(): SimDisk {
    const { scheduler, trace, checkers, settings } = this.world;
    return new SimDisk(
      {
        number: this.number,
        scheduler,
        trace,
        random: this.random.fork('disk'),
        diesAtInstall: () => this.world.diesAtInstall(this),
        onDurable: () => checkers.persisted(this),
      },
      settings.pace,
      settings.readTimes,
    );
  }

  get durable() {
    return this.disk.durable;
  }

  get isDamaged(): boolean {
    return this.disk.damage !== 'none';
  }

  /** Whether the process knows that its state is damaged, so that nothing may be read of it any more. */
  get hasFoundDamage(): boolean {
    return this.process !== null && this.withdrawn === this.process;
  }

  get core(): CoreView | null {
    return this.server?.node.raft ?? null;
  }

  get clockMs(): number | null {
    return this.clock?.now() ?? null;
  }

  get isRunning(): boolean {
    return this.process !== null;
  }

  start(): void {
    if (this.process !== null) return;
    const { world } = this;
    const process: Process = new Process(this.id, () => this.crash('died in the middle of a step'));
    this.process = process;
    world.counts.starts += 1;
    this.note('starts');
    world.scheduler.after(0, process, () => {
      this.boot(process).catch((error: unknown) => this.stop(process, error));
    });
  }

  /** The process ends at once, wherever it is. */
  crash(why: string): void {
    const { process, world } = this;
    if (process === null) return;
    this.note(why);
    world.counts.crashes += 1;
    this.process = null;
    this.clock = null;
    this.opening = null;
    this.repairs = { wanted: null, count: 0 };
    this.server = null;
    process.end();
    this.disk.crash();
    world.checkers.ended(this);
  }

  /** The background check of the files comes to what is damaged. */
  lookAtFiles(): void {
    const { process, server } = this;
    const finding = server && this.disk.lookAt(server.store.storeName);
    if (process !== null && finding)
      this.world.scheduler.after(0, process, () => this.withdraw(process, finding.what));
  }

  /** As `server.ts` does it: nothing is read any more, and once others lead, the node starts again to repair its state. */
  withdraw(process: Process, reason: string): void {
    const { server, world } = this;
    if (process.hasEnded || server === null || this.hasFoundDamage) return;
    this.note(`finds its state damaged: ${reason}`);
    this.withdrawn = process;
    const { pauseCount } = process;
    world.scheduler.after(WITHDRAWN_MS_MAX, process, () => {
      const { raft } = server.node;
      // It would have been in quarantine, and have ended, long before.
      if (process.pauseCount === pauseCount && raft.quarantine === null)
        world.check(() => world.checkers.damageFound.goesOn(this));
    });
    server.node.withdraw(reason).then(
      () => {
        if (process.hasEnded) return;
        if (this.mayRepair(server)) this.runAgain(process, reason);
        else world.beyondRepair(this);
      },
      (error: unknown) => this.stop(process, error),
    );
  }

  private mayRepair({ node }: Server): boolean {
    const { configuration } = node.raft;
    return StateRepair.obstacle(this.id, configuration, this.lastRepair(), this.wallClockMs()) === null;
  }

  private runAgain(process: Process, reason: string): void {
    if (process.hasEnded) return;
    this.crash('closes its state, and starts again to repair it');
    this.repairs.wanted = reason;
    this.start();
  }

  private lastRepair: () => RepairRecord | undefined = () => undefined;

  /** Days pass fast, so that a disk can fail again on the same day or on a later one. */
  private wallClockMs(): number {
    return this.world.scheduler.nowMs * WALL_CLOCK_RATE;
  }

  private async boot(process: Process): Promise<void> {
    const { world } = this;
    const { scheduler, settings, network } = world;
    const { program } = this;
    this.startedAs = program;
    const clock = new NodeClock(scheduler, process, this.clockRate, () =>
      settings.turnMsMax === 0 || this.random.chance(0.5) ? 0 : this.random.between(0, settings.turnMsMax),
    );
    this.clock = clock;
    const directory = this.disk.open(process);
    const log = await LogStore.open(await directory.open(LOG_STORE));
    if (this.disk.damage === 'damaged') {
      throw new Violation(
        'A damaged log is refused at open (row 29)',
        `${this.id} opened its log as if nothing had happened.`,
      );
    }
    const clientUrl = `http://${this.address}`;
    const logger = this.logger(process);
    const bootstrap: Bootstrap = await Bootstrap.open(
      { id: this.id, peerAddress: this.address, clientUrl, versions: program },
      this.firstStart === 'join'
        ? { kind: 'join', endpoints: [] }
        : {
            kind: 'initialCluster',
            members: this.founders.map((id) => ({ id, peerAddress: addressOf(id) })),
          },
      {
        log,
        clock,
        logger,
        transport: { handshake: (...parameters) => transport.handshake(...parameters) },
        newIncarnation: () => `${this.id}-${this.random.integer(0, 2 ** 32 - 1).toString(16)}`,
        join: ({ endpoints: _, ...request }) => world.join(process, request),
      },
    );
    this.incarnation = bootstrap.identity.incarnation;
    const transport = network.connect({
      id: this.id,
      number: this.number,
      address: this.address,
      process,
      identity: () => bootstrap.identity,
    });
    await transport.start(this.receiver(process, bootstrap));
    const { signal } = new AbortController();
    await bootstrap.complete(signal);
    this.lastRepair = () => log.repair;
    this.opening = new StateOpening({
      directory,
      log,
      transport,
      identity: () => bootstrap.identity,
      clock,
      wallClockMs: () => this.wallClockMs(),
      logger,
      repairs: this.repairs,
      options: {
        historyRevisions: settings.historyRevisions,
        historyBytes: settings.historyBytes,
        answerIndex: { tablesMax: 1, slotsMax: settings.answerTableSlots },
        window: { eventsMax: settings.windowEventsMax, bytesMax: settings.windowBytesMax },
        stepSizes: settings.stepSizes,
        watchReads: settings.watchReads,
        soon: (task) => {
          scheduler.after(this.disk.readMs(), process, task);
        },
        onBackgroundError: (error) => this.stop(process, error),
      },
    });
    const store = await this.opening.open(signal);
    refuseNewer(program, store.clusterVersion);
    const node = new RaftNode<CommandResult>(
      {
        id: this.id,
        incarnation: this.incarnation,
        restored: {
          hardState: log.hardState,
          compacted: log.compacted,
          entries: log.entries,
          appliedIndex: store.appliedIndex,
          tookPart: bootstrap.tookPart,
        },
        logEntriesMax: settings.logEntriesMax,
        logBytesMax: LOG_BYTES_MAX,
        appendBytesMax: settings.appendBytesMax,
        flow: settings.flow,
        random: () => this.random.real(),
      },
      {
        log,
        stateMachine: new ObservedStateMachine(
          store,
          process,
          program,
          (entry, result, digest) => world.checkers.applied(this, entry, result, digest),
          () => this.pauseBeforeApply(process),
        ),
        transport,
        clock,
        logger,
        stateDamaged: (error) => this.withdraw(process, error.what),
        fatal: (error) => this.fatal(process, error),
      },
    );
    const service = new ClientService({
      node,
      store,
      transport,
      clock,
      identity: () => bootstrap.identity,
      codec: commandCodec,
      version: 'simulated',
      logger,
      upgradeDelayMs: settings.upgradeDelayMs,
      requiresProof: false,
      warnings: () => [],
      founded: bootstrap.founded,
      newId: () => `${this.id}-${this.random.integer(0, 2 ** 32 - 1).toString(16)}`,
      random: () => this.random.real(),
    });
    if (process.hasEnded) return;
    const servesFrom = log.repair?.servesFrom ?? 0;
    const server: Server = { node, store, service, isOpen: store.appliedIndex >= servesFrom };
    this.server = server;
    world.checkers.started(this, node.raft);
    node.start();
    service.start();
    if (server.isOpen) return;
    await node.whenApplied(servesFrom, Number.POSITIVE_INFINITY, signal).catch(() => {});
    server.isOpen = true;
  }

  private pauseBeforeApply(process: Process): Promise<void> | undefined {
    const { scheduler, settings } = this.world;
    if (settings.applyPauseRate === 0 || !this.applyRandom.chance(settings.applyPauseRate)) return undefined;
    return new Promise((resolve) => scheduler.after(this.disk.readMs(), process, () => resolve()));
  }

  private receiver(process: Process, bootstrap: Bootstrap): Receiver {
    const server = () => (process.hasEnded ? null : this.server);
    const repair = () => (process.hasEnded ? null : (this.opening?.repair ?? null));
    const notReady = () =>
      new RaftkvError('unavailable', `${this.id} is ${bootstrap.waitingFor || 'starting'}.`);
    return {
      onHandshake: (hello) => {
        const configuration = (server()?.node.raft ?? repair())?.configuration;
        if (bootstrap.identity.cluster !== '' && configuration === undefined) throw notReady();
        return bootstrap.answer(hello, configuration ?? emptyConfiguration);
      },
      onMessage: (message, fromMember) => {
        const raftNode = server()?.node;
        if (raftNode === undefined) return null;
        const nonsense = raftNode.onMessage(message, fromMember);
        if (!process.hasEnded) this.world.checkers.received(this, raftNode.raft, message);
        return nonsense;
      },
      onUnreachable: (peer) => server()?.node.onUnreachable(peer),
      onSnapshot: (header, chunks, fromMember) =>
        (server()?.node ?? repair())?.onSnapshot(header, chunks, fromMember) ?? Promise.reject(notReady()),
      onForward: (request, _from, timeoutMs, signal) =>
        server()
          ?.service.onForward(request, timeoutMs, signal)
          .catch((error: unknown) => this.failedForAnother(process, error)) ?? Promise.reject(notReady()),
    };
  }

  /** A request that another node forwarded may meet damage as well. */
  private failedForAnother(process: Process, error: unknown): never {
    if (error instanceof StorageDamaged && this.disk.hasDamagedState) this.withdraw(process, error.what);
    throw error;
  }

  private fatal(process: Process, error: unknown): void {
    const { server } = this;
    const isRepairable = error instanceof StorageDamaged && this.disk.hasDamagedState;
    if (isRepairable && server !== null && this.mayRepair(server)) this.runAgain(process, error.what);
    else this.stop(process, error);
  }

  /** The process ended itself: its disk failed, or something is broken. */
  private stop(process: Process, error: unknown): void {
    if (process.hasEnded) return;
    this.crash(`stops: ${error instanceof Error ? error.message : String(error)}`);
    this.world.stopped(this, error);
  }

  /** A healthy node never has a reason for it, so it is judged like one that stops. */
  private quarantined(process: Process, reason: Error): void {
    if (!this.world.mayBeInQuarantine(this, reason)) this.stop(process, reason);
  }

  private logger(process: Process): NodeLogger {
    const { trace, counts } = this.world;
    const line = (fields: object, message: string) => {
      if (process.hasEnded) return;
      if ('event' in fields && fields.event === 'becameLeader') counts.elections += 1;
      if ('event' in fields && fields.event === 'quarantined') this.quarantined(process, new Error(message));
      trace.note(TraceKind.role, this.number, message.length, 0, () => message);
    };
    return { isLevelEnabled: () => false, trace: line, debug: line, info: line, warn: line, error: line };
  }

  private note(what: string): void {
    this.world.trace.note(TraceKind.process, this.number, what.length, 0, () => `* ${what}`);
  }
}

/** A node whose state is damaged hands over for so long at most, and is gone then. */
const WITHDRAWN_MS_MAX = WITHDRAWAL_HANDOVER_MS + 1000;
/** A day passes in some seconds. */
const WALL_CLOCK_RATE = 20_000;

/** In a cluster that begins with earlier programs: how many machines have one. */
const EARLIER_RATE = 0.7;

/** Bytes never bound the log here: the number of entries does, long before. */
const LOG_BYTES_MAX = 64 * 1024 * 1024;

export function addressOf(id: NodeId): string {
  return `${id}:7100`;
}
