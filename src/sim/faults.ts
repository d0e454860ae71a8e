import { assert } from '../assert.js';
import { hasMajority } from '../raft/quorum.js';
import type { NodeId } from '../raft/types.js';
import type { Cluster } from './cluster.js';
import type { StoreKind } from './disk.js';
import type { Prng } from './prng.js';
import type { FaultKind } from './settings.js';
import { calmPace, calmWeather } from './settings.js';
import type { SimNode } from './sim-node.js';
import { TraceKind } from './trace.js';

const DOWN_MS_MIN = 50;
const DOWN_MS_MAX = 3000;
/** Longer than two election timeouts. */
const PAUSE_MS_MAX = 1500;
const PARTITION_MS_MIN = 200;
const PARTITION_MS_MAX = 3000;
const SLOW_WRITE_MS_MAX = 700;
/** Others are elected in less time, and a leader that hears nobody needs more to step down. */
const ALONE_MS_MIN = 350;
const ALONE_MS_MAX = 1300;
/** Long enough for the others to cut their logs above where it stopped, so that it gets a snapshot when it returns. */
const LONG_ALONE_MS_MAX = 3500;
const LEAP_MS_MAX = 5000;
const LAST_WORDS_MS_MAX = 1500;
/** How soon after its predecessor's end a new machine is removed again: about when it has come, and long before it has all. */
const REGRET_MS_MIN = 20;
const REGRET_MS_MAX = 300;
/** A process that is to die within a step has done at most so many things before. */
const STEPS_MAX = 40;
/** Damage is found after so long where nobody reads what is damaged. */
const FOUND_MS_MAX = 3000;
const DAMAGED_RECORDS_MAX = 8;
/** More machines than this never exist in one run. */
const NODES_MAX = 7;

/** Lets things go wrong, one after the other, as the seed has it; several may hold at once. */
export class Faults {
  /** How many came up so far, left out or not. */
  count = 0;
  private hasEnded = false;
  private readonly schedule: Prng;
  /** Each fault draws from a stream of its own, so that leaving one out changes no other. */
  private random: Prng;

  /** @param kept The numbers of the faults that happen, from 1 on; null for all. */
  constructor(
    private readonly cluster: Cluster,
    private readonly seed: Prng,
    private readonly kept: ReadonlySet<number> | null,
  ) {
    this.schedule = seed.fork('schedule');
    this.random = seed.fork('before the first');
  }

  /** The first fault comes after a pause, and then one after the other until {@link end}. */
  begin(): void {
    const { faultPauseMsMin, faultPauseMsMax } = this.cluster.settings;
    this.later(this.schedule.between(faultPauseMsMin, faultPauseMsMax), () => {
      const kind = this.schedule.pick(this.cluster.settings.faults);
      assert(kind !== undefined, 'Every run has a kind of fault.');
      this.count += 1;
      if (this.kept === null || this.kept.has(this.count)) {
        this.random = this.seed.fork(`${this.count}`);
        this.note(`fault ${this.count}: ${kind}`);
        this.inject[kind]();
      }
      this.begin();
    });
  }

  /** All faults end: everything runs, hears and writes as it should. */
  end(): void {
    this.hasEnded = true;
    this.cluster.lonelyLeader = null;
    this.cluster.installCrashRate = 0;
    this.note('all faults end');
    const { network, scheduler, nodes } = this.cluster;
    network.links.heal();
    network.weather = calmWeather;
    network.snapshotPartMsMax = 0;
    network.snapshotResetRate = 0;
    for (const id of nodes.keys()) network.delay(id, 0);
    for (const node of nodes.values()) {
      node.disk.setPace(['log', 'state'], calmPace);
      node.disk.calmReads();
      node.disk.failsNextWrite = null;
      if (node.process === null) continue;
      node.process.stepsLeft = Number.POSITIVE_INFINITY;
      scheduler.resume(node.process);
    }
    this.cluster.startAll();
    this.cluster.operator.readmit();
  }

  private readonly inject: Readonly<Record<FaultKind, () => void>> = {
    crash: () => this.crash(this.random.pick(this.cluster.running)),
    crashLeader: () => this.crash(this.cluster.leader),
    crashInStep: () => {
      const process = this.random.pick(this.cluster.serving)?.process;
      if (process) process.stepsLeft = this.random.integer(1, STEPS_MAX);
      this.note(`${process?.name} will die in the middle of a step`);
      this.later(this.downMs(), () => this.cluster.startAll());
    },
    crashAll: () => {
      this.note('all nodes die at once');
      for (const node of this.cluster.running) node.crash('killed');
      this.later(this.random.between(DOWN_MS_MIN, DOWN_MS_MAX / 3), () => this.cluster.startAll());
    },
    stopGracefully: () => {
      const node = this.random.chance(0.5) ? this.cluster.leader : this.random.pick(this.cluster.serving);
      if (node) this.cluster.operator.stop(node, this.downMs());
    },
    diskFailure: () => this.failWrite('log'),
    stateFailure: () => this.failWrite('state'),
    slowDisk: () => {
      const node = this.random.chance(0.3) ? this.cluster.leader : this.random.pick(this.cluster.running);
      if (node === undefined) return;
      const latencyMsMax = this.random.between(20, SLOW_WRITE_MS_MAX);
      const kinds = this.random.pick<readonly StoreKind[]>([['log'], ['state'], ['log', 'state']]) ?? [];
      this.note(`${node.id} writes its ${kinds.join(' and ')} slowly, up to ${latencyMsMax.toFixed(0)} ms`);
      node.disk.setPace(kinds, { latencyMsMin: latencyMsMax / 4, latencyMsMax });
      this.later(this.partitionMs(), () => node.disk.setPace(kinds));
    },
    pause: () => {
      const process = this.random.pick(this.cluster.running)?.process;
      if (!process || process.isPaused) return;
      const pauseMs = this.random.between(10, PAUSE_MS_MAX);
      this.note(`${process.name} is paused for ${pauseMs.toFixed(0)} ms`);
      this.cluster.scheduler.pause(process);
      this.later(pauseMs, () => this.cluster.scheduler.resume(process));
    },
    clockLeap: () => {
      const process = this.random.pick(this.cluster.running)?.process;
      if (!process) return;
      const leapMs = this.random.between(10, LEAP_MS_MAX);
      this.note(`the clock of ${process.name} leaps ${leapMs.toFixed(0)} ms ahead`);
      this.cluster.leap(process, leapMs);
    },
    staleLeader: () => this.keepLeaderBehind(),
    isolate: () => {
      const all = this.ids();
      const one = this.random.chance(0.5) ? this.cluster.leader?.id : this.random.pick(all);
      if (one === undefined) return;
      this.partition(`${one} is alone`, () => this.links.cut([one], all));
    },
    halves: () => {
      const all = this.random.shuffled(this.ids());
      const left = all.slice(0, this.random.integer(1, Math.max(1, all.length - 1)));
      const right = all.slice(left.length);
      this.partition(`${left.join(', ')} | ${right.join(', ')}`, () => this.links.cut(left, right));
    },
    oneWay: () => {
      const all = this.ids();
      const one = this.random.chance(0.5) ? this.cluster.leader?.id : this.random.pick(all);
      if (one === undefined) return;
      const others = this.random.shuffled(all).slice(0, this.random.integer(1, all.length));
      if (this.random.chance(0.5)) {
        this.partition(`${one} is not heard by ${others.join(', ')}`, () =>
          this.links.cutOneWay([one], others),
        );
      } else {
        this.partition(`${one} does not hear ${others.join(', ')}`, () =>
          this.links.cutOneWay(others, [one]),
        );
      }
    },
    bridge: () => {
      const [middle, ...rest] = this.random.shuffled(this.ids());
      const left = rest.slice(0, Math.ceil(rest.length / 2));
      const right = rest.slice(left.length);
      this.partition(`${left.join(', ')} | ${middle} hears all | ${right.join(', ')}`, () =>
        this.links.cut(left, right),
      );
    },
    weather: () => {
      const { network } = this.cluster;
      this.note('the network is bad');
      network.weather = {
        latencyMsMin: 0.2,
        latencyMsMax: this.random.between(5, 100),
        lateRate: this.random.between(0, 0.2),
        lateMsMax: this.random.between(50, 1000),
        lossRate: this.random.between(0, 0.3),
        duplicateRate: this.random.between(0, 0.3),
      };
      this.later(this.partitionMs(), () => {
        network.weather = network.calm;
      });
    },
    transfer: () => {
      const { leader, members } = this.cluster;
      if (leader === undefined) return;
      const to = this.random.chance(0.3) ? undefined : this.random.pick(members)?.id;
      this.cluster.operator.handOver(leader, to);
    },
    addMember: () => {
      const { nodes, settings } = this.cluster;
      if (nodes.size >= Math.min(NODES_MAX, settings.nodeCount + 2)) return;
      this.note('a new member comes');
      this.cluster.startNewMember();
    },
    removeMember: () => this.removeMember(),
    replaceMember: () => this.replaceMember(),
    replaceVoters: () => this.replaceVoters(),
    damagedLog: () => this.harmLog('damaged'),
    cutLog: () => this.harmLog('cut'),
    damagedState: () => this.harmState(),
  };

  private removeMember(): void {
    const { members, leader, serving } = this.cluster;
    const asked = this.random.pick(serving);
    const victim = this.random.chance(0.3) ? leader : this.random.pick(members);
    if (members.length < 2 || asked === undefined || victim === undefined) return;
    if (this.mayNotRemove) return;
    this.cluster.operator.remove(asked, victim.id, () => this.retire(victim));
  }

  /** The machine of a removed member goes on for a while, or for good: nothing that it does may disturb the others (row 17). */
  private retire(node: SimNode): void {
    if (this.random.chance(0.5)) return;
    this.later(this.downMs(), () => {
      // It had been asking to be added when it was removed, and was added again.
      if (this.cluster.members.includes(node)) return;
      node.isInService = false;
      node.crash('is taken out of service');
    });
  }

  /** Some voters are to leave and new machines to take their places, all at once (joint consensus, §6). */
  private replaceVoters(): void {
    const { nodes, leader, members, serving } = this.cluster;
    const voters = leader?.server?.node.raft.configuration.voters ?? [];
    const asked = this.random.pick(serving);
    if (asked === undefined || voters.length === 0 || this.mayNotRemove) return;
    const stayCount = this.random.integer(1, Math.max(1, voters.length - 1));
    const staying = this.random.shuffled(voters).slice(0, stayCount);
    const wanted = members.filter(({ id }) => staying.includes(id));
    const newCount = this.random.integer(0, Math.min(2, NODES_MAX - nodes.size));
    for (let count = 0; count < newCount; count += 1) wanted.push(this.cluster.startNewMember());
    this.cluster.operator.setVoters(asked, wanted, () => {
      for (const node of members) if (!wanted.includes(node)) this.retire(node);
    });
  }

  /** While a machine is being replaced, or has no state, nobody removes others: those that are left could be too few. */
  private get mayNotRemove(): boolean {
    return this.cluster.operator.isReplacing || this.cluster.isRepairing;
  }

  private failWrite(store: StoreKind): void {
    const node = this.random.pick(this.cluster.serving);
    this.note(`the next write of ${node?.id} to its ${store} fails`);
    if (node) node.disk.failsNextWrite = store;
  }

  /**
   * A leader that is cut off and does not know it: it stands still while the others go on without it, or its disk is slow,
   * so that what only it has is still on its way there when the others' entries come. Clients reach it all the time.
   */
  private keepLeaderBehind(): void {
    const { leader, scheduler } = this.cluster;
    const process = leader?.process;
    if (!leader || !process || process.isPaused) return;
    const aloneMs = this.random.between(
      ALONE_MS_MIN,
      this.random.chance(0.25) ? LONG_ALONE_MS_MAX : ALONE_MS_MAX,
    );
    const isPaused = this.random.chance(0.5);
    this.note(
      `${leader.id} leads, is alone for ${aloneMs.toFixed(0)} ms and ${isPaused ? 'stands still' : 'writes slowly'}`,
    );
    this.links.cut([leader.id], this.ids());
    this.cluster.lonelyLeader = leader;
    if (isPaused) {
      scheduler.pause(process);
      // Its last moments alone are after it wakes up.
      this.later(aloneMs * this.random.between(0.7, 1), () => scheduler.resume(process));
    } else {
      leader.disk.setPace(['log'], { latencyMsMin: 80, latencyMsMax: 240 });
      this.later(aloneMs + SLOW_WRITE_MS_MAX, () => leader.disk.setPace(['log']));
    }
    this.later(aloneMs, () => {
      this.cluster.lonelyLeader = null;
      this.note('the partition heals');
      this.links.heal();
    });
  }

  /** A machine dies with its disk; what it said last is still on its way when another has its name. */
  private replaceMember(): void {
    const { network, leader, operator } = this.cluster;
    const node = this.random.pick(this.spareMembers().filter((one) => one !== leader));
    if (node === undefined || !operator.isIdle || this.mayNotRemove) return;
    this.note(`the machine of ${node.id} breaks`);
    operator.expectReplacement(node);
    network.delay(node.id, this.random.between(100, LAST_WORDS_MS_MAX));
    const isRegretted = this.random.chance(0.5);
    const regretMs = this.random.between(REGRET_MS_MIN, REGRET_MS_MAX);
    this.cluster.scheduler.after(this.random.between(50, 300), null, () => {
      network.delay(node.id, 0);
      operator.replace(node);
      if (isRegretted) this.later(regretMs, () => this.removeNewcomer(node));
    });
  }

  /**
   * The machine that came in place of another is removed again before it has the whole log: what is still heard of its name may be of
   * the former one, and nobody may be told anything because of it (correctness rows 16 and 17).
   */
  private removeNewcomer(node: SimNode): void {
    const { leader, operator, members } = this.cluster;
    if (leader === undefined || leader === node || this.mayNotRemove || !members.includes(node)) return;
    operator.remove(leader, node.id, () => this.retire(node));
  }

  /**
   * The log of one node loses something while all others run and hold what it held: more than that no cluster survives. A missing end
   * looks like a write that never finished; everything else must be found when the log is opened.
   */
  private harmLog(damage: 'cut' | 'damaged'): void {
    const node = this.random.pick(this.spareMembers());
    if (node === undefined || this.mayNotRemove) return;
    const { lastIndex } = node.durable;
    const term = node.durable.termAt(lastIndex);
    const isHeldByAll = this.spareMembers().every(({ durable }) => durable.termAt(lastIndex) === term);
    if (!isHeldByAll) return;
    node.crash(`loses something of its log (${damage})`);
    if (!node.disk.harmLog(damage)) this.note(`there was nothing to lose for ${node.id}`);
    this.cluster.start(node);
  }

  /**
   * The live state of one node is damaged, while the node runs or while it is down. Others may have been before: as long as those that are
   * whole can elect a leader, no acknowledged entry is lost, and everybody gets a state.
   */
  private harmState(): void {
    const { cluster, random } = this;
    const node = random.pick(cluster.members.filter((one) => this.isWhole(one) && this.canMiss(one)));
    if (node === undefined) return;
    const isRunning = node.server !== null && random.chance(0.5);
    if (!isRunning) {
      node.crash('loses something of its state');
      this.later(this.downMs(), () => cluster.start(node));
    }
    const count = random.integer(1, DAMAGED_RECORDS_MAX);
    for (let harmed = 0; harmed < count; harmed += 1) {
      if (!node.disk.harmState()) this.note(`there was nothing to lose for ${node.id}`);
    }
    if (!isRunning) return;
    this.note(`${count} records of the state of ${node.id} are damaged`);
    const foundMs = random.between(0, FOUND_MS_MAX);
    // Faults may have ended by then.
    cluster.scheduler.after(foundMs, null, () => node.lookAtFiles());
  }

  private isWhole(node: SimNode): boolean {
    return node.isInService && !node.isDamaged && !node.disk.hasDamagedState;
  }

  /** Whether the others that are whole are a majority, in all configurations that are in force somewhere. */
  private canMiss(node: SimNode): boolean {
    const { nodes, leader, serving, operator } = this.cluster;
    const raft = leader?.server?.node.raft;
    if (raft === undefined || raft.configurationIndex > raft.commitIndex || operator.isAsking) return false;
    const isLeft = (id: NodeId) => {
      const other = nodes.get(id);
      return other !== undefined && other !== node && this.isWhole(other);
    };
    return serving.every(
      ({ server }) => server === null || hasMajority(server.node.raft.configuration, isLeft),
    );
  }

  /** The members, if one of them can be missed: three voters at least, all of them running on disks that lost nothing. */
  private spareMembers(): readonly SimNode[] {
    const { members, leader } = this.cluster;
    const voters = leader?.server?.node.raft.configuration.voters ?? [];
    const isWhole = members.every((node) => node.server !== null && !node.isDamaged && node.isInService);
    return voters.length >= 3 && isWhole ? members.filter(({ id }) => voters.includes(id)) : [];
  }

  private crash(node: SimNode | undefined): void {
    if (node === undefined) return;
    node.crash('killed');
    this.later(this.downMs(), () => this.cluster.start(node));
  }

  private partition(what: string, cut: () => void): void {
    this.note(`partition: ${what}`);
    cut();
    this.later(this.partitionMs(), () => {
      this.note('the partition heals');
      this.links.heal();
    });
  }

  private get links() {
    return this.cluster.network.links;
  }

  private ids(): NodeId[] {
    return [...this.cluster.nodes.keys()];
  }

  private downMs(): number {
    return this.random.between(DOWN_MS_MIN, DOWN_MS_MAX);
  }

  private partitionMs(): number {
    return this.random.between(PARTITION_MS_MIN, PARTITION_MS_MAX);
  }

  /** Does something later, unless the faults have ended by then. */
  private later(delayMs: number, task: () => void): void {
    this.cluster.scheduler.after(delayMs, null, () => {
      if (!this.hasEnded) task();
    });
  }

  private note(what: string): void {
    this.cluster.trace.note(TraceKind.fault, 0, what.length, 0, () => `! ${what}`);
  }
}
