import type { Clock } from '../clock.js';
import { RaftkvError } from '../errors.js';
import { type ConfigurationChange, isJoint } from '../raft/configuration.js';
import type { Configuration, Index, Term } from '../raft/types.js';
import { CHANGE_RETRY_MS } from './limits.js';
import type { RaftNode } from './raft-node.js';
import { clientLeft, noLeader } from './waiting.js';

/**
 * Leader: proposes what `plan` says of the configuration in force, and again for as long as another change is under way.
 * Resolves when it is committed, with its place in the log; or with null, when `plan` finds nothing to change. Once `signal` is
 * aborted nothing is proposed any more; what was proposed stays.
 */
export async function changeConfiguration(
  node: RaftNode<unknown>,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  plan: (configuration: Configuration) => ConfigurationChange | null,
): Promise<{ readonly index: Index; readonly term: Term } | null> {
  const deadline = clock.now() + timeoutMs;
  for (;;) {
    if (node.stopping || node.raft.role !== 'leader') throw noLeader();
    if (signal?.aborted) throw clientLeft();
    const refusal = await attempt(node, plan, () => deadline - clock.now(), signal);
    if (typeof refusal !== 'string') return refusal;
    if (clock.now() >= deadline) {
      throw new RaftkvError('change_in_progress', `${refusal} This change was not begun; try again shortly.`);
    }
    await pause(clock);
  }
}

/** How it ended, or why it cannot begin yet. */
async function attempt(
  node: RaftNode<unknown>,
  plan: (configuration: Configuration) => ConfigurationChange | null,
  remainingMs: () => number,
  signal: AbortSignal | undefined,
): Promise<{ readonly index: Index; readonly term: Term } | null | string> {
  const { raft } = node;
  // Who the members are is undecided, so no plan can be made of it: what is in force and not committed may still be lost, and
  // nobody is to be told by it that there is nothing to do, or nobody to do it to.
  if (isJoint(raft.configuration)) return 'The voters are being replaced, which is not finished yet.';
  if (raft.configurationIndex > raft.commitIndex)
    return `The configuration at index ${raft.configurationIndex} is not committed yet.`;
  const change = plan(raft.configuration);
  if (change === null) return null;
  const result = node.change((raft) => raft.proposeChange(change));
  if ('index' in result) {
    await node.whenConfigured(result, Math.max(0, remainingMs()), signal);
    return result;
  }
  if (result.reason === 'notLeader') throw noLeader();
  if (result.reason === 'invalid') throw new RaftkvError('bad_request', result.detail);
  return result.detail;
}

/** What is asked about again and again is asked about at this pace. */
export function pause(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.after(CHANGE_RETRY_MS, () => resolve()));
}
