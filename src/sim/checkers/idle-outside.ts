import type { Message } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A server that knows that it is not part of the cluster, or only learns, does not ask for votes (§6, "removed servers can disrupt the
 * cluster"; thesis §4.2.1; correctness row 17). It knows when the configuration without its vote is committed.
 */
export class IdleOutside implements Checker {
  readonly property = 'A node without a vote does not campaign (§6)';

  sending(node: NodeView, core: CoreView, message: Message): void {
    // What it decided to ask leaves when its own vote is on disk: it may have given up by then.
    if (message.type !== 'requestVote' || core.role === 'follower') return;
    const { configuration, configurationIndex, commitIndex } = core;
    if (configurationIndex > commitIndex) return;
    if (configuration.voters.includes(node.id) || configuration.outgoingVoters.includes(node.id)) return;
    throw new Violation(
      this.property,
      `${node.id} asks ${message.to} for a vote in term ${message.term}, and the configuration at index ${configurationIndex} ` +
        'is committed without a vote for it.',
    );
  }
}
