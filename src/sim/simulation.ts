import { REPAIR_FAILURE_PAUSE_MS, SNAPSHOT_STALL_MS } from '../node/limits.js';
import { Violation } from './checkers/checker.js';
import { EventOrder } from './checkers/watched-events.js';
import { Cluster } from './cluster.js';
import { Faults } from './faults.js';
import { checkLinearizable } from './linearizability.js';
import { assertDrains } from './microtasks.js';
import { Prng } from './prng.js';
import { calmWeather, drawSettings, type Settings } from './settings.js';
import { Upgrader } from './upgrader.js';
import { WatchClient } from './watch-client.js';
import { CLIENT_PATIENCE_MS, Workload } from './workload.js';

/** What one run came to. */
export interface Report {
  readonly seed: number;
  /** The running hash of the trace: equal for equal runs. */
  readonly hash: string;
  /** What was violated and where, or null. */
  readonly failure: string | null;
  /** The property that was violated; null without a failure, or when something else went wrong. */
  readonly property: string | null;
  readonly simulatedMs: number;
  /** From the end of all faults until everything was in order again. */
  readonly healedMs: number;
  /** How many faults came up. */
  readonly faultCount: number;
  readonly counts: Counts;
}

/** Figures that add up over runs. */
export interface Counts {
  readonly events: number;
  readonly messages: number;
  readonly elections: number;
  readonly crashes: number;
  readonly snapshots: number;
  readonly operations: number;
  readonly done: number;
  readonly read: number;
  readonly refused: number;
  readonly unknown: number;
  /** Keys whose history took too long to judge. */
  readonly undecided: number;
}

export interface SimulationOptions {
  readonly seed: number;
  /** Founding members; the seed decides when absent. */
  readonly nodeCount?: number | undefined;
  /** The numbers of the faults that happen, from 1 on; all of them when absent. */
  readonly faults?: readonly number[] | undefined;
  /** Takes each line of the trace. */
  readonly writeLine?: ((line: string) => void) | undefined;
}

/** A cluster has its first leader within this time, and is in order again this long after the last fault. */
const FIRST_LEADER_MS_MAX = 5000;
const HEALING_MS_MAX = 5000;
/** A member whose state is damaged waits, where what it was sent is lost on the way, before it asks again. */
const REPAIRING_MS_MAX = SNAPSHOT_STALL_MS + REPAIR_FAILURE_PAUSE_MS + HEALING_MS_MAX;
/** The longest lease, counted by a slow clock, and until its end is in the log. */
const LEASES_END_MS_MAX = 4000;
/** Some election timeouts, in which nothing may happen but the end of a lease. */
const QUIET_MS = 1000;
/** A lease that is granted when all is well ends within this and {@link QUIET_MS}: a leader without leases looks twice a second. */
const CALM_TTL_MS = 200;
/** How long a node that is told to stop may take, and how much it is asked for just before. */
const STOP_MS_MAX = 2000;
const ASKED_BEFORE_STOP = 6;
const ASKED_BYTES_MAX = 1_000_000;
/** What was asked for has come to the node by then. */
const ASKING_MS_MAX = 1.2;
/** How often the end of a phase is looked for. */
const LOOK_MS = 20;

/** Runs one seed to its end. */
export function simulate(options: SimulationOptions): Promise<Report> {
  return new Promise((resolve, reject) => {
    // Outside of all promises: only there can the micro-tasks be run to their end between two events.
    setImmediate(() => {
      try {
        assertDrains();
        resolve(new Simulation(options).run());
      } catch (error) {
        reject(error);
      }
    });
  });
}

/**
 * One run: the real core, shell, log store and state machine of several nodes (`sim-node.ts`) on a virtual clock, network
 * and disk, with clients (`workload.ts`) and faults (`faults.ts`) around them. First a phase in which everything may go
 * wrong and nothing that is promised may be broken; then all faults end, and the cluster must come to order within a
 * stated time. The properties in `checkers/` are looked at after every event, the answers to the clients at the end.
 *
 * One seed decides everything: there is no other clock, no other randomness and no other order of events, so a run can be
 * repeated line by line. Where to read on: `virtual-clock.ts` for how time passes, `network.ts` and `disk.ts` for what can
 * happen to a message and to a write, `cluster.ts` for how it is held together, `linearizability.ts` for the search.
 *
 * Deliberately missing: the bytes of the peer protocol, and the HTTP API.
 */
class Simulation {
  private readonly settings: Settings;
  private readonly cluster: Cluster;
  private readonly faults: Faults;
  private readonly upgrader: Upgrader;
  private readonly watching: readonly WatchClient[];
  private workload: Workload | null = null;
  private healedMs = 0;
  private undecided = 0;

  constructor(private readonly options: SimulationOptions) {
    const seed = new Prng(options.seed, 'seed');
    this.settings = drawSettings(seed, options.nodeCount);
    this.cluster = new Cluster(this.settings, seed, options.writeLine ?? null);
    this.faults = new Faults(
      this.cluster,
      seed.fork('faults'),
      options.faults === undefined ? null : new Set(options.faults),
    );
    this.upgrader = new Upgrader(this.cluster, seed.fork('upgrader'));
    this.seed = seed;
    const order = new EventOrder(this.cluster.checkers.referenceModel);
    this.watching = Array.from({ length: this.settings.watcherCount }, (_, at) => {
      const name = `watch ${at + 1}`;
      return new WatchClient(name, this.cluster, seed.fork(name), order);
    });
  }

  private readonly seed: Prng;

  run(): Report {
    const { cluster } = this;
    const onRejection = (error: unknown) =>
      cluster.fail(
        new Violation('Every error is handled', error instanceof Error ? String(error.stack) : String(error)),
      );
    process.on('unhandledRejection', onRejection);
    let failure: string | null = null;
    let property: string | null = null;
    try {
      this.perform();
    } catch (error) {
      property = error instanceof Violation ? error.property : null;
      failure =
        error instanceof Violation
          ? error.message
          : error instanceof Error
            ? String(error.stack)
            : String(error);
      this.options.writeLine?.(`           FAILED: ${failure}`);
    } finally {
      process.off('unhandledRejection', onRejection);
    }
    const { counts, scheduler, network } = cluster;
    const { history } = this.workload ?? {};
    return {
      seed: this.options.seed,
      hash: cluster.trace.hash,
      failure: failure === null ? null : `${failure} (at ${scheduler.nowMs.toFixed(3)} ms)`,
      property,
      simulatedMs: scheduler.nowMs,
      healedMs: this.healedMs,
      faultCount: this.faults.count,
      counts: {
        events: scheduler.eventCount,
        messages: network.counts.messages,
        elections: counts.elections,
        crashes: counts.crashes,
        snapshots: network.counts.snapshotsArrived,
        operations: history?.operations.length ?? 0,
        ...(history?.counts() ?? { done: 0, read: 0, refused: 0, unknown: 0 }),
        undecided: this.undecided,
      },
    };
  }

  private perform(): void {
    const { cluster, faults, settings } = this;
    cluster.network.weather = calmWeather;
    cluster.startAll();
    // Faults begin when all founders know each other: until then the cluster is not formed, and who is missing too long
    // may find it running without a place for itself.
    this.waitFor(
      'a first leader of all founders',
      FIRST_LEADER_MS_MAX,
      () => cluster.leader !== undefined && cluster.serving.length === settings.nodeCount,
    );
    cluster.network.weather = settings.weather;
    this.workload = new Workload(cluster, this.seed.fork('workload'));
    for (const client of this.watching) client.begin();
    faults.begin();
    this.upgrader.begin();
    cluster.runUntil(cluster.scheduler.nowMs + settings.safetyMs);
    faults.end();
    this.upgrader.end();
    this.heal(this.workload);
    this.checkHistory(this.workload);
  }

  /** Once the faults have ended: a leader, a new write, every key read, and all members in the same state. */
  private heal(workload: Workload): void {
    const { cluster } = this;
    const { scheduler } = cluster;
    this.waitFor('a whole state on every member', REPAIRING_MS_MAX, () => !cluster.isRepairing);
    const healing = scheduler.nowMs;
    const left = () => healing + HEALING_MS_MAX - scheduler.nowMs;
    const committedIndex = cluster.checkers.leaderCompleteness.commitIndexMax;
    if (this.settings.silentHealing) {
      workload.stop();
      this.waitFor('one state on all members without a write', left(), () => this.isSettled());
    }
    this.waitUntilDone('a new write', left, (settle) => {
      const { leader } = cluster;
      if (leader === undefined) settle(false);
      else workload.write(leader, settle);
    });
    // The clients go on all the time: who was behind must catch up although the log grows.
    this.waitFor('every member up to date while clients write', left(), () =>
      cluster.members.every(
        ({ isInService, server }) => !isInService || (server?.store.appliedIndex ?? 0) >= committedIndex,
      ),
    );
    workload.stop();
    this.waitFor('one state on all members', left(), () => this.isSettled());
    const members = () => cluster.members.filter(({ isInService }) => isInService);
    this.waitUntilDone('a read of every key on every member', left, (settle) => {
      if (members().length === 0) settle(false);
      else workload.readAll(members(), settle);
    });
    for (const client of this.watching) client.catchUpAt(members());
    this.waitFor('every event for every watch', left(), () =>
      this.watching.every(({ isComplete }) => isComplete),
    );
    this.healedMs = scheduler.nowMs - healing;
    // Who asked before the end of the faults, or a node that was removed and does not know it yet, waits for all of its own time.
    this.waitFor('an answer for every client', CLIENT_PATIENCE_MS, () => workload.isIdle);
    this.waitFor('the end of every lease that nobody keeps alive', LEASES_END_MS_MAX, () =>
      members().every(({ server }) => server?.store.leaseCount === 0),
    );
    this.waitUntilDone(
      'a lease',
      () => HEALING_MS_MAX,
      (settle) => {
        const { leader } = cluster;
        if (leader === undefined) settle(false);
        else workload.grantLease(leader, CALM_TTL_MS, settle);
      },
    );
    this.stayQuiet();
    for (const { id, server } of members()) {
      if (server?.store.leaseCount === 0) continue;
      throw new Violation(
        'A lease ends soon after its time to live (row 20)',
        `${id} still has a lease of ${CALM_TTL_MS} ms after ${QUIET_MS} ms in which all was well.`,
      );
    }
    // A machine that had been asking to be added may have come meanwhile.
    this.waitFor('one state on all members, late ones too', HEALING_MS_MAX, () => this.isSettled());
    for (const node of cluster.members) {
      if (node.isInService)
        cluster.checkers.acknowledged.finished(node, node.server?.store.appliedIndex ?? 0);
    }
    this.stopInGoodOrder(workload);
  }

  /**
   * A node that is told to stop while all others are well finishes what it has accepted before (docs/operations.md), and hands
   * leadership over.
   */
  private stopInGoodOrder(workload: Workload): void {
    const { cluster } = this;
    const random = this.seed.fork('last stop');
    const node = random.chance(0.5) ? cluster.leader : random.pick(cluster.members);
    const { process, server } = node ?? {};
    if (!node || !process || !server || !node.isInService) return;
    // Too much at once is refused, which is an answer.
    const mayRefuse = (this.settings.flow.uncommittedBytesMax ?? 0) < ASKED_BYTES_MAX;
    const unanswered: string[] = [];
    let settledCount = 0;
    let hasStopped = false;
    const drained = new Promise<void>((resolve) => {
      workload.askForMuch(node, ASKED_BEFORE_STOP, (request, { kind }) => {
        const isRefused = request.kind === 'command' && kind === 'refused' && mayRefuse;
        if (kind !== 'done' && kind !== 'read' && !isRefused) unanswered.push(`${request.kind} ${kind}`);
        settledCount += 1;
        if (settledCount === ASKED_BEFORE_STOP) resolve();
      });
    });
    cluster.scheduler.after(ASKING_MS_MAX, process, () => {
      server.node.stop(STOP_MS_MAX, drained).then(
        () => {
          hasStopped = true;
          node.crash('has stopped');
        },
        (error: unknown) => cluster.fail(error instanceof Error ? error : new Error(String(error))),
      );
    });
    this.waitFor(`the end of ${node.id}, which was told to stop`, STOP_MS_MAX + LOOK_MS, () => hasStopped);
    if (unanswered.length === 0 && settledCount === ASKED_BEFORE_STOP) return;
    throw new Violation(
      'A stopping node answers every request that it accepted (docs/operations.md)',
      `${node.id} settled ${settledCount} of ${ASKED_BEFORE_STOP} requests, with ${unanswered.join(', ') || 'no failure'}.`,
    );
  }

  /** Nodes that were removed, and whoever else is left over from the faults, disturb nobody (correctness row 17). */
  private stayQuiet(): void {
    const { cluster } = this;
    const { leader } = cluster;
    const term = leader?.server?.node.raft.term;
    cluster.runUntil(cluster.scheduler.nowMs + QUIET_MS);
    const after = cluster.leader;
    if (after === leader && after?.server?.node.raft.term === term) return;
    throw new Violation(
      'No node disturbs a healthy cluster (row 17)',
      `${leader?.id} led term ${term}, and ${after?.id} leads term ${after?.server?.node.raft.term} without any fault.`,
    );
  }

  /** Whether all members have applied everything, to the same digest, and none is still on its way to become a voter. */
  private isSettled(): boolean {
    const { cluster } = this;
    const leader = cluster.leader?.server;
    if (!leader || !cluster.operator.isIdle) return false;
    // A slow write from the time of the faults may still make a leader hand over.
    if (cluster.serving.some(({ disk }) => disk.isWriting)) return false;
    const { raft } = leader.node;
    if (raft.configuration.learners.some((id) => cluster.nodes.get(id)?.isInService)) return false;
    const { members } = cluster;
    return (
      raft.commitIndex === raft.lastIndex &&
      raft.lastIndex >= cluster.checkers.leaderCompleteness.commitIndexMax &&
      members.every(({ server, isInService }) => {
        if (!isInService) return true;
        return server?.store.appliedIndex === raft.lastIndex && server.store.digest === leader.store.digest;
      })
    );
  }

  private checkHistory(workload: Workload): void {
    for (const [key, operations] of workload.history.perKey()) {
      const verdict = checkLinearizable(operations);
      if (verdict.kind === 'undecided') this.undecided += 1;
      if (verdict.kind !== 'violation') continue;
      throw new Violation(
        'Linearizability (§8)',
        `no order of the ${operations.length} operations on ${key} explains their answers; the longest explains ` +
          `${verdict.longest}`,
      );
    }
  }

  /** Lets time pass until the condition holds; that it does is a property too. */
  private waitFor(what: string, timeoutMs: number, holds: () => boolean): void {
    const { cluster } = this;
    const deadline = cluster.scheduler.nowMs + timeoutMs;
    while (!holds()) {
      if (cluster.scheduler.nowMs >= deadline)
        throw new Violation('Progress', `there was not ${what} in time`);
      cluster.runUntil(cluster.scheduler.nowMs + LOOK_MS);
    }
  }

  /** Tries again and again until it is done. */
  private waitUntilDone(
    what: string,
    left: () => number,
    attempt: (settle: (isDone: boolean) => void) => void,
  ): void {
    let isDone = false;
    let isUnderWay = false;
    this.waitFor(what, left(), () => {
      if (isDone) return true;
      if (!isUnderWay) {
        isUnderWay = true;
        attempt((outcome) => {
          isUnderWay = false;
          isDone = outcome;
        });
      }
      return isDone;
    });
  }
}
