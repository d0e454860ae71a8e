import type { Clock } from './clock.js';
import { StorageDamaged } from './errors.js';
import { stateDamaged } from './kv/damage.js';
import { type KvOptions, type KvStateMachine, openKv, restoreKv } from './kv/state-machine.js';
import { FIRST_STATE_DIRECTORY, STATE_PREFIX } from './node/bootstrap.js';
import { checkStateAgainstLog } from './node/check-state.js';
import type { NodeLogger } from './node/contracts.js';
import { StateRepair } from './node/state-repair.js';
import type { LogStore } from './storage/log-store.js';
import type { StoreDirectory } from './storage/ordered-store.js';
import type { Identity, Transport } from './transport/contract.js';

/** What one process remembers of repairs from one run to the next. */
export interface Repairs {
  /** Why the next run replaces its state, although its files may look whole; null where it need not. */
  wanted: string | null;
  /** How many there were. */
  count: number;
}

/** How a run comes to its state: it opens what is there, or has it replaced where that is damaged (rule 29). */
export class StateOpening {
  /** What is damaged and how it is repaired, in sentences; null while nothing is repaired. */
  damage: string | null = null;
  private repairing: StateRepair<KvStateMachine> | null = null;

  constructor(
    private readonly parts: {
      readonly directory: StoreDirectory;
      readonly log: LogStore;
      readonly transport: Transport;
      readonly identity: () => Identity;
      readonly clock: Clock;
      /** By the clock of the machine, in milliseconds since 1970. */
      readonly wallClockMs: () => number;
      readonly logger: NodeLogger;
      readonly options: KvOptions;
      readonly repairs: Repairs;
    },
  ) {}

  /** The repair that goes on; null while there is none. */
  get repair(): StateRepair<KvStateMachine> | null {
    return this.repairing;
  }

  /** Throws `storage_damaged` where the state is, and cannot be repaired; the reason of the signal when that was aborted. */
  async open(signal: AbortSignal): Promise<KvStateMachine> {
    const { directory, log, options, repairs } = this.parts;
    const live = log.stateDirectory ?? FIRST_STATE_DIRECTORY;
    await removeStaleStates(directory, live);
    let state: KvStateMachine | undefined;
    try {
      if (repairs.wanted !== null) throw stateDamaged(repairs.wanted);
      state = await openKv(directory, live, options);
      if (state.appliedIndex < log.compacted.index)
        throw stateDamaged(
          `The log begins after index ${log.compacted.index}, but the state ends at index ${state.appliedIndex}.`,
        );
    } catch (error) {
      await state?.abandon();
      if (!(error instanceof StorageDamaged)) throw error;
      state = await this.replace(error, signal);
    }
    try {
      checkStateAgainstLog(state, log);
      return state;
    } catch (error) {
      await state.abandon();
      throw error;
    }
  }

  private async replace({ code, what }: StorageDamaged, signal: AbortSignal): Promise<KvStateMachine> {
    const { directory, log, transport, identity, clock, wallClockMs, logger, options, repairs } = this.parts;
    const repair = new StateRepair<KvStateMachine>({
      identity,
      log,
      transport,
      clock,
      wallClockMs,
      logger,
      restore: (snapshot, chunks) => restoreKv(directory, snapshot, chunks, options),
    });
    const obstacle = StateRepair.obstacle(identity().id, repair.configuration, log.repair, wallClockMs());
    if (obstacle !== null) throw new StorageDamaged('state', what, { advice: obstacle });
    this.damage = `${what} This node repairs that: a snapshot of the leader takes the place of its state, and the log stays.`;
    this.repairing = repair;
    logger.error({ code }, this.damage);
    const state = await repair.run(signal);
    repairs.wanted = null;
    repairs.count += 1;
    this.damage = null;
    this.repairing = null;
    await removeStaleStates(directory, state.storeName);
    return state;
  }
}

/** Snapshots that were replaced or never finished: the log's store names the one that is live. */
async function removeStaleStates(directory: StoreDirectory, live: string): Promise<void> {
  for (const name of await directory.list()) {
    if (name.startsWith(STATE_PREFIX) && name !== live) await directory.remove(name);
  }
}
