import { Violation } from './checker.js';

/**
 * From the moment at which a node finds its state damaged, nothing is read of that state, and the node does not go on for long: it hands
 * over if it leads, and takes part in nothing until another state has taken the place of the damaged one (correctness row 29).
 */
export class DamageFound {
  readonly property = 'A state that was found damaged is not used (row 29)';

  /** A client got something that it asked for after the damage was found. */
  answered(node: { readonly id: string }): void {
    throw new Violation(this.property, `${node.id} answered a read after it had found its state damaged.`);
  }

  /** The node runs on although there was time for everything that it has to do before it ends. */
  goesOn(node: { readonly id: string }): void {
    throw new Violation(this.property, `${node.id} found its state damaged, and runs on.`);
  }
}
