import { randomBytes } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { showHostAndPort, showListening } from './addresses.js';
import {
  answerWhileWaiting,
  clientApp,
  GOODBYE_MS,
  listenForClients,
  STOP_PATIENCE_MS,
} from './client-app.js';
import { systemClock } from './clock.js';
import { CLUSTER_VERSION_MIN, SPOKEN_VERSIONS } from './cluster-version.js';
import type { ServerConfig } from './config.js';
import { descriptorBudget } from './descriptors.js';
import { DiskDamage, REPAIRED_NEXT } from './disk-damage.js';
import { RaftkvError, StorageDamaged } from './errors.js';
import { fieldsOf, isDiskFull, LAST_LINES_MS, messageOf, stopLine, tellFailure } from './failures.js';
import { fileChecks } from './file-checks.js';
import { abandonApp } from './http/app.js';
import { commandCodec } from './kv/codec.js';
import type { KvStateMachine } from './kv/state-machine.js';
import type { CommandResult } from './kv/types.js';
import { OpenedLog } from './log-opening.js';
import { LogSink, standardOutput } from './log-sink.js';
import { createLogger, type Logger } from './logger.js';
import { AddressHints } from './node/address-hints.js';
import { AddressKeeper } from './node/address-keeper.js';
import { Bootstrap, noFirstStart } from './node/bootstrap.js';
import { ClientService } from './node/client-service.js';
import { joinOverHttp } from './node/join.js';
import { LatePort } from './node/late-port.js';
import { APPEND_BYTES_MAX, APPLY_SHARE_MS, READ_SHARE_MS } from './node/limits.js';
import { RaftNode } from './node/raft-node.js';
import { StateRepair } from './node/state-repair.js';
import { emptyConfiguration, memberOf } from './raft/configuration.js';
import type { Configuration } from './raft/types.js';
import { diskUsageOf, hasRoomToStart, roomToStart } from './room.js';
import { type Run, type RunEnds, Runs } from './runs.js';
import { type Repairs, StateOpening } from './state-opening.js';
import { DiskReserve } from './storage/disk-reserve.js';
import { LevelDirectory } from './storage/level-store.js';
import type { LogStore } from './storage/log-store.js';
import { StorageWatch } from './storage-watch.js';
import type { Receiver } from './transport/contract.js';
import { GrpcTransport } from './transport/grpc-transport.js';
import { ConfiguredPeerAuth } from './transport/peer-auth.js';
import { type Refused, refusalReasons } from './transport/refusals.js';
import { TurnShare } from './turn-share.js';
import { version } from './version.js';

/** The time from one start to the next at least: where a quota is used up, the disk seems to have room and starts fail all the same. */
const RESTART_MS = 5000;

export interface RunningServer {
  /** Resolves with the exit code when the server has stopped by itself (its disk failed, its identity was refused). */
  readonly stopped: Promise<number>;
  /**
   * Finishes what was accepted, hands leadership over where it can, and closes everything.
   *
   * @param reason Completes the sentence "This node stops: …" in the log.
   */
  stop(reason: string): Promise<void>;
}

/**
 * The composition root: the only place that constructs everything. Resolves once the node listens for clients and peers;
 * it may still be waiting for its cluster then, which GET /readyz tells. Throws a `RaftkvError` when it cannot start.
 *
 * @param stopping While it is not aborted, a start on a full disk waits for room. Then it resolves, and is to be stopped.
 */
export async function startServer(config: ServerConfig, stopping: AbortSignal): Promise<RunningServer> {
  const sink = new LogSink(standardOutput());
  const logger = createLogger(config.id, config.logLevel, sink, process.stdout.isTTY ? 'people' : 'programs');
  sink.onRecovery = (lines) =>
    logger.warn({ lines }, `${lines} log lines were lost, because standard output took no more.`);
  const { id, logLevel, ...settings } = config;
  logger.info({ version, runtime: process.version, pid: process.pid, settings }, `raftkv ${version} starts.`);
  const failed = (error: unknown) => tellFailure(error, logger, sink);
  let mayStartAt = 0;
  const repairs: Repairs = { wanted: null, count: 0 };
  const runs = new Runs({
    newRun: (ends) => {
      mayStartAt = systemClock.now() + RESTART_MS;
      return new Server(config, logger, sink, failed, ends, repairs);
    },
    room: (signal) =>
      roomToStart(config.dataDirectory, repairs.wanted === null ? mayStartAt : 0, signal, () =>
        answerWhileWaiting(config, logger, sink),
      ),
    lacksRoom: (error) => {
      if (!isDiskFull(error)) return false;
      logger.error(fieldsOf(error), `This node cannot start yet. ${messageOf(error)}`);
      return true;
    },
    couldNotContinue: failed,
    stopsWithoutRun: (reason) => logger.info({}, stopLine(reason)),
  });
  const stop = async (reason: string): Promise<void> => {
    try {
      await runs.stop(reason);
    } finally {
      await sink.flush(LAST_LINES_MS);
    }
  };
  try {
    await runs.start(stopping);
  } catch (error) {
    // What fails then is in the log; this is what the process ends for.
    await stop(`it cannot start. ${messageOf(error)}`).catch(() => {});
    throw error;
  }
  return { stopped: runs.failed, stop };
}

class Server implements Run {
  private readonly aborted = new AbortController();
  /** What went wrong while this run stopped, apart from a full disk. */
  private stopFailure: { readonly error: unknown } | undefined;
  private readonly applyShare = new TurnShare(APPLY_SHARE_MS);
  private readonly readShare = new TurnShare(READ_SHARE_MS);
  private readonly auth: ConfiguredPeerAuth;
  private isStopping = false;
  /** What this run does while it opens its state, in words. */
  private opening = '';
  private stateOpening: StateOpening | null = null;
  private log: OpenedLog | null = null;
  private transport: GrpcTransport | null = null;
  private app: FastifyInstance | null = null;
  private stateMachine: KvStateMachine | null = null;
  private node: RaftNode<CommandResult> | null = null;
  private service: ClientService | null = null;
  private addresses: AddressKeeper | null = null;
  private hints: AddressHints | null = null;
  private storageWatch: StorageWatch | null = null;
  private readonly damage: DiskDamage;

  constructor(
    private readonly config: ServerConfig,
    private readonly logger: Logger,
    private readonly sink: LogSink,
    /** Says on all channels that the process ends because of this error. */
    private readonly failed: (error: unknown) => Promise<void>,
    private readonly ends: RunEnds,
    private readonly repairs: Repairs,
  ) {
    this.auth = new ConfiguredPeerAuth(config);
    this.damage = new DiskDamage({
      logger,
      obstacle: () => this.repairObstacle(),
      withdraw: async (reason) => this.node?.withdraw(reason),
      repair: (what) => this.repairNext(what),
      fail: (error) => this.fail(error),
    });
  }

  async start(): Promise<void> {
    const { config, logger } = this;
    const descriptors = descriptorBudget();
    logger.debug({ descriptors }, `This process may have ${descriptors.limit} files and connections open.`);
    const directory = await LevelDirectory.at(config.dataDirectory, fileChecks(logger));
    // Said before anything is written: where a volume failed to mount, not even our own files may appear.
    if (config.firstStart.kind === 'none' && (await directory.list()).length === 0) throw noFirstStart();
    const reserve = await DiskReserve.in(config.dataDirectory);
    if (reserve.bytes > 0 && !(await hasRoomToStart(config.dataDirectory))) await reserve.giveUp();
    this.log = await OpenedLog.in(directory, config.dataDirectory, logger);
    const log = this.log.store;
    const bootstrap: Bootstrap = await Bootstrap.open(
      {
        id: config.id,
        peerAddress: config.advertisePeer,
        clientUrl: config.advertiseHttp,
        versions: SPOKEN_VERSIONS,
      },
      config.firstStart,
      {
        log,
        transport: { handshake: (...parameters) => transport.handshake(...parameters) },
        clock: systemClock,
        logger,
        newIncarnation: () => randomBytes(16).toString('hex'),
        join: joinOverHttp,
      },
    );
    const transport = new GrpcTransport({
      listen: { ...config.peer, connectionsMax: descriptors.peerConnections },
      identity: () => bootstrap.identity,
      clusterVersion: () => this.stateMachine?.clusterVersion ?? CLUSTER_VERSION_MIN,
      auth: this.auth,
      knows: (id, incarnation) => this.knows(id, incarnation),
      refused: (refused) => this.logRefusal(refused),
      connectionChanged: (peer, line) => logger.debug({ peer }, line),
    });
    this.transport = transport;
    const port = new LatePort(
      () => bootstrap.identity,
      () => this.waitsFor(bootstrap),
      () => this.warnings(),
      version,
      config.firstStart.kind === 'join' ? 'learner' : 'follower',
    );
    // Before any peer hears of this node: founding members form their cluster with one that then ends, because its port is taken.
    await this.listen(port, descriptors.clientConnections);
    await transport.start(this.receiver(bootstrap));
    const clients = showListening(`http://${showHostAndPort(config.http)}`, config.advertiseHttp);
    const peers = showListening(showHostAndPort(config.peer), config.advertisePeer);
    logger.info({}, `${config.id} listens for clients at ${clients}, and for peers at ${peers}.`);
    for (const warning of this.warnings()) logger.warn({}, warning);
    this.finishStart(directory, log, bootstrap, port, reserve).catch((error: unknown) => {
      // Whoever ends this run hears of it there.
      if (error !== this.aborted.signal.reason) this.fail(error);
    });
  }

  async stop(reason: string): Promise<void> {
    const { logger } = this;
    const startedAt = systemClock.now();
    logger.info({}, stopLine(reason));
    this.isStopping = true;
    this.aborted.abort();
    this.addresses?.stop();
    this.hints?.stop();
    this.service?.stop();
    await this.tryToStop(this.storageWatch?.stop());
    const drained = this.app?.close() ?? Promise.resolve();
    await this.tryToStop(this.node?.stop(STOP_PATIENCE_MS, drained));
    await this.tryToStop(drained);
    await this.tryToStop(this.transport?.stop(GOODBYE_MS));
    await this.tryToStop(this.log?.close(this.stopFailure === undefined));
    logger.info({}, `Stopped in ${Math.round(systemClock.now() - startedAt)} ms.`);
    if (this.stopFailure !== undefined) throw this.stopFailure.error;
  }

  /** One step of a stop. Whatever becomes of it, the others follow. */
  private async tryToStop(step: Promise<unknown> | undefined): Promise<void> {
    try {
      await step;
    } catch (error) {
      this.failWhileStopping(error);
    }
  }

  /** A full disk does not keep a node from stopping in good order: what it acknowledged is in the log on disk. */
  private failWhileStopping(error: unknown): void {
    this.logger.error(fieldsOf(error), `${messageOf(error)} This node goes on to stop.`);
    if (!isDiskFull(error)) this.stopFailure ??= { error };
  }

  async abandon(): Promise<void> {
    this.aborted.abort();
    this.addresses?.stop();
    this.hints?.stop();
    this.service?.stop();
    await this.storageWatch?.stop();
    const closed = this.app === null ? Promise.resolve() : abandonApp(this.app);
    await Promise.all([this.node?.stop(0, closed), closed, this.transport?.stop(0)]);
    // The node has failed, so it leaves its state open.
    await this.stateMachine?.abandon();
    // This process has said why the run ended, and goes on with the next.
    await this.log?.close(true);
  }

  /** What needs the cluster: the state, the core and the service for clients. */
  private async finishStart(
    directory: LevelDirectory,
    log: LogStore,
    bootstrap: Bootstrap,
    port: LatePort,
    reserve: DiskReserve,
  ): Promise<void> {
    const { config, logger } = this;
    await bootstrap.complete(this.aborted.signal);
    if (this.aborted.signal.aborted) return;
    const transport = this.transport;
    if (transport === null) return;
    this.opening = 'checking the files of its state';
    this.stateOpening = new StateOpening({
      directory,
      log,
      transport,
      identity: () => bootstrap.identity,
      clock: systemClock,
      wallClockMs: Date.now,
      logger,
      repairs: this.repairs,
      options: {
        applyTurn: () => this.applyShare.turn(),
        readTurn: () => this.readShare.turn(),
        onBackgroundError: (error) =>
          logger.warn({ err: error }, 'An old state directory could not be deleted.'),
      },
    });
    this.stateMachine = await this.stateOpening.open(this.aborted.signal);
    if (this.aborted.signal.aborted) return;
    this.opening = '';
    this.node = new RaftNode<CommandResult>(
      {
        id: config.id,
        incarnation: bootstrap.identity.incarnation,
        restored: {
          hardState: log.hardState,
          compacted: log.compacted,
          entries: log.entries,
          appliedIndex: this.stateMachine.appliedIndex,
          tookPart: bootstrap.tookPart,
        },
        logEntriesMax: config.logEntriesMax,
        logBytesMax: config.logBytesMax,
        appendBytesMax: APPEND_BYTES_MAX,
        random: Math.random,
      },
      {
        log,
        stateMachine: this.stateMachine,
        transport,
        clock: systemClock,
        logger,
        diskUsage: () => diskUsageOf(config.dataDirectory),
        diskReserve: reserve,
        stateDamaged: (error) => this.damage.found(error),
        fatal: (error) => this.fail(error),
      },
    );
    this.service = new ClientService({
      node: this.node,
      store: this.stateMachine,
      transport,
      clock: systemClock,
      identity: () => bootstrap.identity,
      codec: commandCodec,
      version,
      logger,
      upgradeDelayMs: config.upgradeDelayMs,
      requiresProof: this.auth.mode === 'required',
      warnings: () => this.warnings(),
      founded: bootstrap.founded,
      newId: () => randomBytes(8).toString('hex'),
      random: Math.random,
    });
    this.addresses = new AddressKeeper(
      this.node,
      systemClock,
      () => bootstrap.identity,
      () => transport.connections(),
    );
    const { firstStart } = config;
    this.hints = new AddressHints(
      firstStart.kind === 'initialCluster' ? firstStart.members : [],
      transport,
      systemClock,
      () => bootstrap.hello,
      logger,
    );
    const { node, stateMachine } = this;
    this.storageWatch = new StorageWatch(config.dataDirectory, stateMachine, logger, (error) =>
      this.damage.found(error),
    );
    const { service } = this;
    // What this node showed before its state was replaced must not be newer than what it shows now.
    const servesFrom = log.repair?.servesFrom ?? 0;
    const isBehind = stateMachine.appliedIndex < servesFrom;
    if (isBehind) this.opening = `applying its log up to index ${servesFrom}, after its state was replaced`;
    else port.open(service);
    this.node.start();
    this.addresses.start();
    this.hints.start();
    this.service.start();
    this.storageWatch.start();
    if (!isBehind) return;
    // In quarantine nothing is applied any more, which the service says.
    await node.whenApplied(servesFrom, Number.POSITIVE_INFINITY, this.aborted.signal).catch(() => {});
    if (this.aborted.signal.aborted) return;
    this.opening = '';
    port.open(service);
  }

  /** What this run waits for, in words; '' when it runs. */
  private waitsFor(bootstrap: Bootstrap): string {
    return bootstrap.waitingFor || this.stateOpening?.repair?.progress || this.opening;
  }

  /** Why the state of this node, which runs, cannot be repaired, and what to do then; null where it can. */
  private repairObstacle(): string | null {
    return StateRepair.obstacle(this.config.id, this.configuration, this.log?.store.repair, Date.now());
  }

  /** Ends this run, and has the next one replace the state. */
  private repairNext(what: string): void {
    if (this.isStopping || this.aborted.signal.aborted) return;
    this.aborted.abort();
    this.repairs.wanted = what;
    this.ends.again();
  }

  private warnings(): readonly string[] {
    const connections = this.transport?.connections() ?? [];
    const isConnected = connections.some(({ state }) => state === 'connected');
    const refused = connections.filter(({ state }) => state === 'refused');
    const damage = this.damageFound;
    return [
      ...(damage === null ? [] : [damage]),
      ...this.auth.warnings(this.transport?.unproven() ?? [], isConnected),
      ...refused.map(({ id, reason }) => `There is no connection to ${id}. ${reason}`),
    ];
  }

  private get damageFound(): string | null {
    return this.stateOpening?.damage ?? this.damage.sentence;
  }

  /** As far as it is known: the log says it while the state is repaired. */
  private get configuration(): Configuration {
    return this.node?.raft.configuration ?? this.stateOpening?.repair?.configuration ?? emptyConfiguration;
  }

  /** A member that was added by its address only has no incarnation yet. */
  private knows(id: string, incarnation: string): boolean {
    const member = memberOf(this.configuration, id);
    const isMember = member?.incarnation === '' || member?.incarnation === incarnation;
    return isMember || (this.stateOpening?.repair?.knows(id, incarnation) ?? false);
  }

  private logRefusal({ address, reason, untold }: Refused): void {
    const times = untold === 0 ? '' : ` (and ${untold} times more since the last such line)`;
    this.logger.warn(
      { reason, address },
      `Refused a connection to the peer port: ${address} ${refusalReasons[reason]}${times}.`,
    );
  }

  private receiver(bootstrap: Bootstrap): Receiver {
    const notReady = () => {
      // Two that repair their states ask each other: without the other's words in its own, neither answer grows.
      const waitsFor = this.stateOpening?.repair ? 'repairing its state' : this.waitsFor(bootstrap);
      return new RaftkvError('unavailable', `${this.config.id} is ${waitsFor || 'starting'}.`);
    };
    return {
      onHandshake: (hello) => {
        // Between the two, the cluster is known and its members are not: let the other side ask again.
        const isKnown = this.node !== null || this.stateOpening?.repair;
        if (bootstrap.identity.cluster !== '' && !isKnown) throw notReady();
        return bootstrap.answer(hello, this.configuration);
      },
      onMessage: (message, fromMember) => this.node?.onMessage(message, fromMember) ?? null,
      onUnreachable: (peer) => this.node?.onUnreachable(peer),
      onSnapshot: (header, chunks, fromMember) =>
        (this.node ?? this.stateOpening?.repair)?.onSnapshot(header, chunks, fromMember) ??
        Promise.reject(notReady()),
      onForward: async (request, _from, timeoutMs, signal) => {
        if (this.service === null) throw notReady();
        return this.damage.noting(this.service.onForward(request, timeoutMs, signal));
      },
    };
  }

  private async listen(port: LatePort, connectionsMax: number): Promise<void> {
    const { config, logger, sink, readShare } = this;
    const peerRefusals = () => this.transport?.refusals ?? new Map();
    const storage = () => ({
      checkedBytes: this.storageWatch?.checkedBytes ?? 0,
      isDamaged: this.damageFound !== null,
      repairs: this.repairs.count,
    });
    this.app = clientApp(config, logger, sink, {
      port,
      damaged: (error) => this.damage.found(error),
      peerRefusals,
      storage,
      readShare,
      connectionsMax,
    });
    await listenForClients(this.app, config);
  }

  /**
   * Ends this run with a line that says why, and the process too unless the disk is merely full. Nothing is flushed: after a
   * failed write only what is on disk counts.
   */
  private fail(error: unknown): void {
    if (this.isStopping) this.failWhileStopping(error);
    if (this.aborted.signal.aborted) return;
    this.aborted.abort();
    // What fails before there is a node, says itself what to do.
    const damage = error instanceof StorageDamaged && this.node !== null ? error : null;
    const final = damage === null ? error : this.damage.judge(damage);
    if (damage !== null && final === null) {
      this.repairs.wanted = damage.what;
      this.logger.error(fieldsOf(damage), `${damage.what} ${REPAIRED_NEXT}`);
      this.ends.again();
    } else if (isDiskFull(final)) {
      const line = `${messageOf(final)} This node closes, and starts again by itself once there is room.`;
      this.logger.error(fieldsOf(final), line);
      this.ends.again();
    } else this.failed(final).then(() => this.ends.failed());
  }
}
