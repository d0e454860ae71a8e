import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A leader that is not part of the new configuration steps down once it has committed it (§6), in the very step in which
 * it learns of the commit.
 */
export class RemovedLeader implements Checker {
  readonly property = 'A removed leader steps down (§6)';

  stepped(node: NodeView, core: CoreView): void {
    const { role, configuration, configurationIndex, commitIndex } = core;
    const isVoter = configuration.voters.includes(node.id) || configuration.outgoingVoters.includes(node.id);
    if (role !== 'leader' || configurationIndex > commitIndex || isVoter) return;
    throw new Violation(
      this.property,
      `${node.id} leads term ${core.term}, and its removal at index ${configurationIndex} is committed.`,
    );
  }
}
