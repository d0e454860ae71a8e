import type { Message } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * A node that found that it lost what it had promised takes part in nothing: it grants no votes, acknowledges nothing, does not campaign
 * and answers no client (correctness row 24). So whatever it holds can do no harm until somebody looks at it.
 */
export class SilentInQuarantine implements Checker {
  readonly property = 'A node in quarantine takes part in nothing (row 24)';

  sending(node: NodeView, core: CoreView, message: Message): void {
    if (core.quarantine === null) return;
    throw new Violation(
      this.property,
      `${node.id} sends ${message.to} a message of type ${message.type} in term ${message.term}. It is in quarantine: ${core.quarantine}`,
    );
  }

  stepped(node: NodeView, core: CoreView): void {
    if (core.quarantine === null || core.role === 'follower') return;
    throw new Violation(this.property, `${node.id} is a ${core.role} of term ${core.term}, in quarantine.`);
  }

  /** A client got something from it. */
  answered(node: { readonly id: string }): void {
    throw new Violation(this.property, `${node.id} did for a client what it was asked for, in quarantine.`);
  }
}
