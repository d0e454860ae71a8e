import type { Revision } from '../kv/types.js';
import type { Exchange } from './exchange.js';
import type { Query } from './query.js';

/** The query parameters of every read of the store. */
export const readNames: readonly string[] = ['consistency', 'minRevision'];

/** What has to be true before the local store is read. */
export interface ReadPlan {
  readonly consistency: 'linearizable' | 'lease' | 'stale';
  /** The local store must have reached this revision; 0 for any. */
  readonly minRevision: Revision;
  readonly timeoutMs: number;
  readonly redirectNever: boolean;
}

/**
 * @param revision The revision that is to be read, 0 for the newest. A node that lags may not have it yet, so a stale
 * read waits for it; to a linearizable read a revision that does not exist yet is an error, which the store reports.
 */
export function planRead(query: Query, revision: Revision): ReadPlan {
  const consistency = query.oneOf('consistency', ['linearizable', 'lease', 'stale']) ?? 'linearizable';
  const minRevision = query.integer('minRevision', 0) ?? 0;
  return {
    consistency,
    minRevision: consistency === 'stale' ? Math.max(minRevision, revision) : minRevision,
    timeoutMs: query.timeoutMs(),
    redirectNever: query.redirectNever(),
  };
}

/** Calls `read` as soon as the plan's conditions hold, at once where they hold already. */
export function withRead(exchange: Exchange, plan: ReadPlan, read: () => void): void {
  const { port } = exchange.context;
  if (plan.consistency === 'stale') {
    atRevision(exchange, plan, read);
    return;
  }
  if (!exchange.staysHere(plan.redirectNever)) return;
  if (plan.consistency === 'lease' && port.readsByLease()) {
    exchange.consistency = 'lease';
    atRevision(exchange, plan, read);
    return;
  }
  // Also where a lease was asked for and there is none, such as on a follower: this promises no less.
  exchange.settle(port.confirmRead(plan.timeoutMs), () => {
    exchange.consistency = 'linearizable';
    atRevision(exchange, plan, read);
  });
}

/** Calls `read` when this node has the plan's revision, at once where it has it already. */
export function atRevision(
  exchange: Exchange,
  plan: Pick<ReadPlan, 'minRevision' | 'timeoutMs'>,
  read: () => void,
): void {
  const { port } = exchange.context;
  if (plan.minRevision === 0 || port.position().revision >= plan.minRevision) {
    read();
    return;
  }
  exchange.settle(port.waitForRevision(plan.minRevision, exchange.remainingMs(plan.timeoutMs)), read);
}
