import type { Clock } from '../clock.js';
import type { Raft } from '../raft/raft.js';
import { STOP_POLL_MS, SUCCESSOR_PATIENCE_MS } from './limits.js';

/** A node that is not to lead any more. */
export interface LeavingLeader {
  readonly raft: Raft;
  readonly clock: Clock;
  /** Runs `task` on the core and then what follows from it. */
  change<Value>(task: (raft: Raft) => Value): Value;
  isDead(): boolean;
}

/** A node that was told to stop, as far as its end in good order needs it. It takes no new requests any more. */
export interface StoppingNode extends LeavingLeader {
  /** Whether somebody waits for an answer that was promised. */
  isBusy(): boolean;
  /** Whether everything that the core wanted on disk is there. */
  isIdle(): boolean;
}

/**
 * Finishes what was accepted, hands leadership over where it can, and goes on as a follower until nobody asks for anything
 * any more: reads that were accepted wait for what it applies.
 *
 * @param deadline A reading of the clock, after which nothing is waited for.
 * @param drained Settles when nobody asks for anything any more.
 */
export async function stopInGoodOrder(
  node: StoppingNode,
  deadline: number,
  drained: Promise<unknown>,
): Promise<void> {
  await waitUntil(node, () => !node.isBusy(), deadline);
  await handOver(node, deadline);
  let isDrained = false;
  const noteDrained = () => {
    isDrained = true;
  };
  // Whoever closes what asks for things reports a failure of that; here it only means that nobody asks any more.
  drained.then(noteDrained, noteDrained);
  await waitUntil(node, () => isDrained && node.isIdle(), deadline);
}

/**
 * Asks one after another to take over while anybody is in contact. When a whole cluster is told to stop at once, nobody
 * is soon, and waiting on would only hold up the end.
 */
export async function handOver(node: LeavingLeader, deadline: number): Promise<void> {
  const { raft, clock } = node;
  while (raft.role === 'leader' && !node.isDead() && clock.now() < deadline) {
    if (typeof node.change(() => raft.transfer(undefined)) === 'string') return;
    await waitUntil(node, () => raft.role !== 'leader' || raft.status().transferTo === null, deadline);
    if (raft.role === 'leader') continue;
    // The successor may need this node's vote.
    const patience = clock.now() + SUCCESSOR_PATIENCE_MS;
    await waitUntil(node, () => raft.leader !== null, Math.min(deadline, patience));
  }
}

async function waitUntil(node: LeavingLeader, condition: () => boolean, deadline: number): Promise<void> {
  const { clock } = node;
  while (!condition() && !node.isDead() && clock.now() < deadline) {
    await new Promise<void>((resolve) => clock.after(STOP_POLL_MS, () => resolve()));
  }
}
