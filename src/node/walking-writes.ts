import type { Clock } from '../clock.js';
import { RaftkvError } from '../errors.js';
import {
  type CommandResult,
  DELETED_KEYS_MAX,
  DELETED_KEYS_PASSED_MAX,
  type DeletePrefixCommand,
  PASSED_KEYS_MAX,
  type TxnCommand,
  type WalkBounds,
} from '../kv/types.js';
import {
  HEAVY_WALKS_WAITING_MAX,
  LIGHT_WALK_KEYS_MAX,
  LIGHT_WALKS_KEYS_MAX,
  LIGHT_WALKS_WAITING_KEYS_MAX,
  WALK_COST_KEYS,
  WALK_PAUSE_FACTOR,
  WALK_PAUSE_MS_MAX,
} from './limits.js';
import { clientLeft, overloaded } from './waiting.js';

/** A command that walks prefixes: how long it takes depends on how many keys there are. */
export type WalkingCommand = TxnCommand | DeletePrefixCommand;

export interface WalkingWritesParts {
  readonly clock: Clock;
  /** How many keys a command passes over here; undefined where they exceed the bounds. Throws the reason of the signal. */
  readonly measure: (
    command: WalkingCommand,
    bounds: WalkBounds,
    signal: AbortSignal,
  ) => Promise<number | undefined>;
  readonly revision: () => number;
  /** Resolves once everything that is in the log now was applied, or was given up. */
  readonly whenApplied: () => Promise<void>;
}

/** Puts a command into the log that is to be answered within so many milliseconds. */
type Propose = (timeoutMs: number) => Promise<CommandResult>;

/**
 * The way of writes that walk prefixes into the log. Every member applies them, and all other writes wait meanwhile, so a leader
 * bounds not only each of them but also what is in the log at once:
 *
 * - one that passes over too many keys is refused before it is proposed;
 * - one that passes over many keys is in the log alone, and others of its kind wait in line for their turn;
 * - those that pass over few keys are in the log together while the sum is small;
 * - after each, there is a pause of nine times its length, in which other writes are served: all of them together hold up others for a
 *   tenth of the time at most.
 *
 * A write whose time is up, or whose client has left, before it is proposed changes nothing.
 */
export class WalkingWrites {
  readonly #parts: WalkingWritesParts;
  readonly #light = new Lane(LIGHT_WALKS_KEYS_MAX, LIGHT_WALKS_WAITING_KEYS_MAX);
  readonly #heavy = new Lane(1, HEAVY_WALKS_WAITING_MAX);

  constructor(parts: WalkingWritesParts) {
    this.#parts = parts;
  }

  /** On a leader. Throws what `propose` throws, `unavailable` and `overloaded`. */
  async write(
    command: WalkingCommand,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    propose: Propose,
  ): Promise<CommandResult> {
    const { clock } = this.#parts;
    const patience = new Patience(clock, timeoutMs, signal);
    let leave: Leave | undefined;
    try {
      leave = await this.#enter(command, patience);
    } finally {
      patience.end();
    }
    if (leave === undefined) return this.#tooManyKeys();
    const startedAt = clock.now();
    const outcome = this.#propose(propose, patience.leftMs);
    void this.#whenOver(outcome).then((wasProposed) => {
      if (wasProposed) clock.after(pauseMs(clock.now() - startedAt), leave);
      else leave();
    });
    return outcome;
  }

  /** On a node that does not lead, where the leader may run a program that looks at no command before it proposes it. */
  async writeElsewhere(
    command: WalkingCommand,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    propose: Propose,
  ): Promise<CommandResult> {
    const patience = new Patience(this.#parts.clock, timeoutMs, signal);
    try {
      const measured = this.#parts.measure(command, laxBounds, patience.signal);
      if ((await patience.bounds(measured)) === undefined) return this.#tooManyKeys();
    } finally {
      patience.end();
    }
    return this.#propose(propose, patience.leftMs);
  }

  async #propose(propose: Propose, leftMs: number): Promise<CommandResult> {
    if (leftMs <= 0) throw tooLate();
    return propose(leftMs);
  }

  #tooManyKeys(): CommandResult {
    return { kind: 'tooManyKeys', revision: this.#parts.revision() };
  }

  /** Resolves with how to leave, when a command may be proposed; undefined where it passes over too many keys. */
  async #enter(command: WalkingCommand, patience: Patience): Promise<Leave | undefined> {
    const { measure } = this.#parts;
    const { signal } = patience;
    const prefixesCost = WALK_COST_KEYS * prefixesOf(command);
    if (prefixesCost <= LIGHT_WALK_KEYS_MAX) {
      const keys = await patience.bounds(measure(command, lightBounds, signal));
      if (keys !== undefined && keys + prefixesCost <= LIGHT_WALK_KEYS_MAX)
        return this.#light.enter(keys + prefixesCost, signal);
    }
    const leave = await this.#heavy.enter(1, signal);
    try {
      // One after the other, so that the first of many are answered in time.
      if ((await patience.bounds(measure(command, boundsOf(command), signal))) !== undefined) return leave;
    } catch (error) {
      leave();
      throw error;
    }
    leave();
    return undefined;
  }

  /** Resolves once a command is not in the log any more as one to be applied, with whether it ever was there. */
  async #whenOver(outcome: Promise<CommandResult>): Promise<boolean> {
    try {
      await outcome;
      return true;
    } catch (error) {
      // Only its client has stopped waiting.
      if (!(error instanceof RaftkvError) || error.code !== 'outcome_unknown') return false;
      await this.#parts.whenApplied();
      return true;
    }
  }
}

/** How long a write may wait before it is proposed. */
class Patience {
  readonly #clock: Clock;
  readonly #deadline: number;
  readonly #ends = new AbortController();
  readonly #stop: () => void;

  constructor(clock: Clock, timeoutMs: number, signal: AbortSignal | undefined) {
    this.#clock = clock;
    this.#deadline = clock.now() + timeoutMs;
    const leave = () => this.#ends.abort(clientLeft());
    const timer = clock.after(timeoutMs, () => this.#ends.abort(tooLate()));
    signal?.addEventListener('abort', leave);
    if (signal?.aborted) leave();
    this.#stop = () => {
      timer.cancel();
      signal?.removeEventListener('abort', leave);
    };
  }

  /** Aborted when the wait is over, with what to say as the reason. */
  get signal(): AbortSignal {
    return this.#ends.signal;
  }

  get leftMs(): number {
    return this.#deadline - this.#clock.now();
  }

  /** What `task` gives, or the end of the wait: between the slices of a walk there may be many of others. */
  bounds<Value>(task: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      const { signal } = this;
      const end = () => reject(signal.reason);
      if (signal.aborted) end();
      signal.addEventListener('abort', end);
      task.then(resolve, reject);
    });
  }

  end(): void {
    this.#stop();
  }
}

type Leave = () => void;

/** Lets in what fits into it, in the order of asking. */
class Lane {
  readonly #capacity: number;
  readonly #waitingMax: number;
  #taken = 0;
  #waitingWeight = 0;
  #waiting: { readonly weight: number; readonly enter: () => void }[] = [];

  /** @param waitingMax The sum of weights that may wait. */
  constructor(capacity: number, waitingMax: number) {
    this.#capacity = capacity;
    this.#waitingMax = waitingMax;
  }

  /** Resolves with what is to be called once at the end. Rejects with `overloaded`, or the reason of the signal. */
  enter(weight: number, signal: AbortSignal): Promise<Leave> {
    if (this.#waiting.length === 0 && this.#fits(weight)) return Promise.resolve(this.#take(weight));
    if (this.#waitingWeight + weight > this.#waitingMax) {
      return Promise.reject(overloaded('Too many writes that walk prefixes wait for their turn.'));
    }
    return new Promise((resolve, reject) => {
      const forget = () => {
        signal.removeEventListener('abort', give);
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
        this.#waitingWeight -= weight;
      };
      const give = () => {
        forget();
        reject(signal.reason);
        // Those behind it may fit.
        this.#letIn();
      };
      const waiter = {
        weight,
        enter: () => {
          forget();
          resolve(this.#take(weight));
        },
      };
      this.#waiting.push(waiter);
      this.#waitingWeight += weight;
      signal.addEventListener('abort', give);
    });
  }

  #fits(weight: number): boolean {
    return this.#taken + weight <= this.#capacity;
  }

  #take(weight: number): Leave {
    this.#taken += weight;
    return () => {
      this.#taken -= weight;
      this.#letIn();
    };
  }

  #letIn(): void {
    for (let [next] = this.#waiting; next !== undefined && this.#fits(next.weight); [next] = this.#waiting) {
      next.enter();
    }
  }
}

const lightBounds: WalkBounds = { existing: LIGHT_WALK_KEYS_MAX, deleted: LIGHT_WALK_KEYS_MAX };
const laxBounds: WalkBounds = { existing: PASSED_KEYS_MAX, deleted: DELETED_KEYS_PASSED_MAX };

/** By what this leader has applied; what a command changes is bounded again where it is applied. */
function boundsOf({ kind }: WalkingCommand): WalkBounds {
  return kind === 'deletePrefix' ? { ...laxBounds, existing: DELETED_KEYS_MAX } : laxBounds;
}

/** How many prefixes a command may have to walk. */
function prefixesOf(command: WalkingCommand): number {
  if (command.kind === 'deletePrefix') return 1;
  const [success, failure] = [command.success, command.failure].map(
    (branch) => branch.filter((operation) => 'prefix' in operation).length,
  );
  return Math.max(success ?? 0, failure ?? 0);
}

function pauseMs(tookMs: number): number {
  return Math.min(tookMs * WALK_PAUSE_FACTOR, WALK_PAUSE_MS_MAX);
}

function tooLate(): RaftkvError {
  return new RaftkvError(
    'unavailable',
    'The time was up before the write was proposed: the keys under its prefixes are counted first, and writes that walk many keys wait ' +
      'for their turn. Nothing was changed; try again, name fewer keys, or give it a longer timeout.',
  );
}
