import { systemClock } from '../clock.js';
import { REFUSAL_LOG_INTERVAL_MS } from './limits.js';

/** Why what came to the peer port was refused; the label of the metric. */
export const refusalReasons = {
  no_proof: 'did not prove that it knows the cluster secret',
  unknown_secret: 'has another cluster secret than this node',
  no_secret: 'proves a cluster secret, and this node has none: start it with --cluster-secret-file',
  foreign: 'does not speak the peer protocol',
  malformed: 'sent what no peer sends',
  impostor: 'introduced itself as another node than the one that it had proven to be',
  not_a_member: 'is no member of this cluster, and asked for what only members may',
  too_slow: 'took too long to say who it is',
  too_many: 'was one of too many connections of nobody known',
  too_often: 'connected too often',
  flood: 'opened streams, sent control frames or sent nonsense without end',
  too_large: 'sent a request that is larger than any that a peer sends',
  too_much: 'held the most memory in unfinished messages, and all connections without a proof held too much',
} as const;

export type RefusalReason = keyof typeof refusalReasons;

export interface Refused {
  /** The remote address of the connection. */
  readonly address: string;
  readonly reason: RefusalReason;
  /** Refusals for this reason from this address that were not told since the last one that was. */
  readonly untold: number;
}

/** Addresses and reasons that are remembered; past it, all are forgotten, and may be told again. */
const REMEMBERED_MAX = 1_000;

/** Counts what was refused, and tells of it once a while for each address and reason. */
export class Refusals {
  readonly #tell: (refused: Refused) => void;
  readonly #counts = new Map<RefusalReason, number>();
  readonly #told = new Map<string, { atMs: number; untold: number }>();

  constructor(tell: (refused: Refused) => void) {
    this.#tell = tell;
  }

  /** How many of each reason, since the start. */
  get counts(): ReadonlyMap<RefusalReason, number> {
    return this.#counts;
  }

  note(address: string, reason: RefusalReason): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    const key = `${reason} ${address}`;
    const told = this.#told.get(key);
    const now = systemClock.now();
    if (told !== undefined && now - told.atMs < REFUSAL_LOG_INTERVAL_MS) {
      told.untold += 1;
      return;
    }
    if (this.#told.size >= REMEMBERED_MAX) this.#told.clear();
    this.#told.set(key, { atMs: now, untold: 0 });
    this.#tell({ address, reason, untold: told?.untold ?? 0 });
  }
}
