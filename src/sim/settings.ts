import { STEP_SIZES, type StepSizes } from '../kv/step-sizes.js';
import { WATCH_READS, type WatchReads } from '../kv/watch-hub.js';
import type { FlowBounds } from '../node/raft-node.js';
import type { DiskPace, ReadTimes } from './disk.js';
import type { Prng } from './prng.js';
import type { Weather } from './wires.js';

/** What can go wrong in a run. */
export const faultKinds = [
  'crash',
  'crashLeader',
  'crashInStep',
  'crashAll',
  'stopGracefully',
  'diskFailure',
  'stateFailure',
  'slowDisk',
  'pause',
  'clockLeap',
  'staleLeader',
  'isolate',
  'halves',
  'oneWay',
  'bridge',
  'weather',
  'transfer',
  'addMember',
  'removeMember',
  'replaceMember',
  'replaceVoters',
  'damagedLog',
  'cutLog',
] as const;
export type FaultKind = (typeof faultKinds)[number] | 'damagedState';

/** Everything about a run that its seed decides beforehand. */
export interface Settings {
  readonly nodeCount: number;
  readonly logEntriesMax: number;
  /** Encoded bytes of entries in one append: small, so that a follower is brought up to date in many steps. */
  readonly appendBytesMax: number;
  /** How long a part of a snapshot takes at most, besides the way: other snapshots and appends are ahead of it. */
  readonly snapshotPartMsMax: number;
  /** How often the sender of a snapshot hears nothing of its end, while the receiver has all of it and takes it later. */
  readonly snapshotResetRate: number;
  readonly safetyMs: number;
  /** Clients that read and write. */
  readonly clientCount: number;
  /** Clients that hold leases, and let them end. */
  readonly holderCount: number;
  /** Clients that want a lock. */
  readonly lockUserCount: number;
  /** Clients that watch. */
  readonly watcherCount: number;
  /** How many revisions of the past are kept. */
  readonly historyRevisions: number;
  /** How many bytes of superseded values are kept, from cluster version 2 on. */
  readonly historyBytes: number;
  /** How long all members must have spoken a newer cluster version before it is raised. */
  readonly upgradeDelayMs: number;
  /** Whether machines begin with a program that speaks cluster version 1 only, and are upgraded under way. */
  readonly startsEarlier: boolean;
  /** Answers under idempotency keys of which memory knows the place, in tables; past them they are filed. */
  readonly answerTableSlots: number;
  /** What is in memory for watches; whoever is further behind reads from the disk. */
  readonly windowEventsMax: number;
  readonly windowBytesMax: number;
  /** How much is done in one step. Small ones end within a revision. */
  readonly stepSizes: StepSizes;
  readonly watchReads: WatchReads;
  /** What a leader lets be on its way. */
  readonly flow: Partial<FlowBounds>;
  readonly readTimes: ReadTimes;
  /** Before how many entries others have a turn. */
  readonly applyPauseRate: number;
  /** Whether there are keys that end in the byte 0xFF, so that no key follows those with that prefix. */
  readonly hasLastKeys: boolean;
  /** Whether all who watch watch everything, so that one change wakes all of them. */
  readonly watchesAll: boolean;
  /** How often a node dies at the write to its log that names a snapshot as its state. */
  readonly installCrashRate: number;
  readonly keyCount: number;
  /** Now and then a value is as large as this: it fills buffers, or takes an append and a chunk for itself. */
  readonly valueBytesMax: number;
  /** The longest pause of a client between two operations. */
  readonly thinkMsMax: number;
  /** How long after an event the end of its turn may come, see `Clock.soon`; 0 for at once. */
  readonly turnMsMax: number;
  /** How much faster or slower the clock of a node may go. */
  readonly clockDrift: number;
  /** Whether the cluster comes to order without a single write, so that nothing lost is found by what follows it. */
  readonly silentHealing: boolean;
  readonly weather: Weather;
  readonly pace: DiskPace;
  readonly faults: readonly FaultKind[];
  /** From one fault to the next. */
  readonly faultPauseMsMin: number;
  readonly faultPauseMsMax: number;
}

/** The time in which the faults fall; a cluster of one node needs less of it to have seen everything. */
const SAFETY_MS_MIN = 10_000;
const SAFETY_MS_MAX = 14_000;

/** How many runs begin with earlier programs. */
const STARTS_EARLIER_RATE = 0.3;
/** How many of the other runs have states that are damaged: an earlier program repairs none, and sends none. */
const DAMAGED_STATE_RATE = 0.4;

/** Draws the settings of a run. Runs differ on purpose: some are nearly calm, some have everything at once. */
export function drawSettings(seed: Prng, nodeCount: number | undefined): Settings {
  const random = seed.fork('settings');
  const drawn = random.pick([1, 3, 3, 3, 3, 5, 5]) ?? 3;
  const count = nodeCount ?? drawn;
  const latencyMsMax = random.pick([1, 3, 10, 20]) ?? 1;
  const diskMsMax = random.pick([1, 5, 20]) ?? 1;
  const kindRate = random.pick([0.15, 0.3, 0.6]) ?? 0.4;
  const kinds = faultKinds.filter(() => random.chance(kindRate));
  // From streams of their own, so that runs without an upgrade, or without damaged states, are what they were.
  const startsEarlier = seed.fork('programs').chance(STARTS_EARLIER_RATE);
  const hasDamagedStates = seed.fork('damage').chance(DAMAGED_STATE_RATE) && !startsEarlier;
  const faults: FaultKind[] = kinds.length > 0 ? kinds : ['crash'];
  const faultPauseMsMin = random.pick([100, 300, 800]) ?? 300;
  return {
    nodeCount: count,
    logEntriesMax: random.integer(8, 40),
    appendBytesMax: random.pick([100, 300, 1024 * 1024]) ?? 300,
    snapshotPartMsMax: random.pick([0, 0, 100, 800]) ?? 0,
    snapshotResetRate: random.pick([0, 0, 0.3, 0.7]) ?? 0,
    silentHealing: random.chance(0.5),
    safetyMs: random.integer(SAFETY_MS_MIN, SAFETY_MS_MAX),
    clientCount: random.integer(2, 4),
    holderCount: random.pick([0, 0, 1]) ?? 0,
    lockUserCount: random.pick([0, 0, 0, 2]) ?? 0,
    watcherCount: random.pick([0, 1, 2]) ?? 1,
    historyRevisions: random.pick([10, 60, 100_000]) ?? 60,
    historyBytes: random.pick([2_000, 20_000, 2 ** 28]) ?? 20_000,
    upgradeDelayMs: 1_000,
    startsEarlier,
    answerTableSlots: random.pick([8, 4096]) ?? 4096,
    windowEventsMax: random.pick([2, 12, 1000]) ?? 12,
    ...drawSteps(seed.fork('steps')),
    keyCount: random.integer(2, 6),
    valueBytesMax: random.chance(0.12) ? 300_000 : 2000,
    thinkMsMax: random.pick([90, 180, 360]) ?? 180,
    turnMsMax: random.chance(0.5) ? 0 : random.between(0.1, 3),
    clockDrift: random.chance(0.5) ? 0 : 0.05,
    weather: {
      latencyMsMin: 0.2,
      latencyMsMax,
      lateRate: random.chance(0.5) ? 0 : 0.02,
      lateMsMax: random.between(20, 400),
      lossRate: random.chance(0.5) ? 0 : random.between(0, 0.05),
      duplicateRate: random.chance(0.5) ? 0 : random.between(0, 0.05),
    },
    pace: { latencyMsMin: 0.1, latencyMsMax: diskMsMax },
    // Most of them come to nothing, because there is no leader, or too few are whole.
    faults: hasDamagedStates ? [...faults, 'damagedState', 'damagedState'] : faults,
    faultPauseMsMin,
    faultPauseMsMax: 5 * faultPauseMsMin,
  };
}

/** How finely the work of the state and of replication is cut, and how long each part takes. */
function drawSteps(random: Prng) {
  const ofTwo = <Value>(usual: Value, small: readonly Value[]): Value =>
    random.chance(0.5) ? usual : (random.pick(small) ?? usual);
  const readTimes: ReadTimes = {
    readMsMax: random.pick([0, 0.3, 2, 6]) ?? 0,
    settleMsMax: random.pick([0, 1, 10]) ?? 0,
    scanStepBytes: ofTwo(256 * 1024, [1, 200]),
  };
  const stepSizes: StepSizes = {
    keys: ofTwo(STEP_SIZES.keys, [1, 2, 3]),
    changes: ofTwo(STEP_SIZES.changes, [1, 2, 3]),
    prunedChanges: ofTwo(STEP_SIZES.prunedChanges, [1, 5]),
    journalBytes: ofTwo(STEP_SIZES.journalBytes, [1, 80]),
    chunkBytes: ofTwo(STEP_SIZES.chunkBytes, [1000, 10_000]),
    batchBytes: ofTwo(STEP_SIZES.batchBytes, [1000, 10_000]),
  };
  const watchReads: WatchReads = {
    eventsMax: ofTwo(WATCH_READS.eventsMax, [1, 2, 3]),
    bytesMax: ofTwo(WATCH_READS.bytesMax, [10, 100]),
    lookedAtMax: ofTwo(WATCH_READS.lookedAtMax, [2, 5]),
    wakesPerTurn: ofTwo(WATCH_READS.wakesPerTurn, [1]),
    pastReadsMax: ofTwo(WATCH_READS.pastReadsMax, [1]),
  };
  const flow: Partial<FlowBounds> = {
    messagesInFlightMax: ofTwo(8, [1, 2]),
    bytesInFlightMax: ofTwo(8 * 1024 * 1024, [300]),
    uncommittedBytesMax: ofTwo(64 * 1024 * 1024, [1000]),
  };
  return {
    readTimes,
    stepSizes,
    watchReads,
    flow,
    windowBytesMax: ofTwo(64 * 1024 * 1024, [2000]),
    applyPauseRate: random.pick([0, 0, 0.05, 0.3]) ?? 0,
    hasLastKeys: random.chance(0.4),
    watchesAll: random.chance(0.3),
    installCrashRate: random.pick([0, 0, 0.3]) ?? 0,
  };
}

/** How everything behaves once the faults have ended. */
export const calmWeather: Weather = {
  latencyMsMin: 0.2,
  latencyMsMax: 2,
  lateRate: 0,
  lateMsMax: 0,
  lossRate: 0,
  duplicateRate: 0,
};
export const calmPace: DiskPace = { latencyMsMin: 0.1, latencyMsMax: 2 };
