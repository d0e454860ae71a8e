import { RaftkvError } from '../errors.js';
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

/**
 * For a stale read that goes to the store later than in its handler, where a failure comes too late for the request to be held:
 * throws `no_leader` while this node starts.
 */
export function requireStarted({ context: { port } }: Exchange): void {
  const route = port.route();
  if (route.kind !== 'noLeader' || route.isStarting !== true) return;
  throw new RaftkvError(
    'no_leader',
    'This node is starting, and has nothing to read yet. Try again shortly.',
  );
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
  exchange.settle(port.confirmRead(exchange.unheldMs(plan.timeoutMs), exchange.signal), () => {
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
  const reached = port.waitForRevision(
    plan.minRevision,
    exchange.remainingMs(plan.timeoutMs),
    exchange.signal,
  );
  exchange.settle(reached, read);
}

/**
 * Calls `next` once this node has a revision that the client has seen. Where it has not, the leader is asked: everything that
 * was acknowledged before is then applied here, so a revision that is still missing is none of this cluster's. Without a leader,
 * or behind one, the request waits within its timeout.
 */
export function reached(exchange: Exchange, revision: Revision, timeoutMs: number, next: () => void): void {
  const { port } = exchange.context;
  if (port.position().revision >= revision) {
    next();
    return;
  }
  port.confirmRead(exchange.remainingMs(timeoutMs), exchange.signal).then(
    () =>
      exchange.attempt(() => {
        const { revision: newest } = port.position();
        if (newest < revision) throw inFuture(revision, newest);
        next();
      }),
    () =>
      exchange.settle(port.waitForRevision(revision, exchange.remainingMs(timeoutMs), exchange.signal), next),
  );
}

function inFuture(revision: Revision, newest: Revision): RaftkvError {
  return new RaftkvError(
    'revision_in_future',
    `Revision ${revision} is not there yet: the cluster is at ${newest}. If this cluster once gave it out, its data was ` +
      'replaced: read everything anew, and watch from the revision of that read on.',
    { revision: newest },
  );
}
