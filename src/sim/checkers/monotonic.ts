import type { Index, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/**
 * The current term increases monotonically, over crashes too, and so does the commit index while a server runs
 * (Figure 2, "State"). After a restart it may begin lower, but never below what the disk said.
 */
export class Monotonic implements Checker {
  readonly property = 'Terms and the commit index never go back (Figure 2)';
  private readonly running = new Map<NodeId, { readonly term: Term; readonly commitIndex: Index }>();
  private readonly onDisk = new Map<string, { readonly term: Term; readonly commit: Index }>();

  started(node: NodeView, core: CoreView): void {
    const { durable } = node;
    if (core.term !== durable.term)
      this.fail(node, `starts in term ${core.term}, and its disk says ${durable.term}`);
    if (core.commitIndex < durable.commit)
      this.fail(node, `starts with commit index ${core.commitIndex}, and its disk says ${durable.commit}`);
  }

  stepped(node: NodeView, core: CoreView): void {
    const { term, commitIndex } = core;
    const before = this.running.get(node.id);
    if (before !== undefined) {
      if (term < before.term) this.fail(node, `went from term ${before.term} to ${term}`);
      if (commitIndex < before.commitIndex)
        this.fail(node, `went from commit index ${before.commitIndex} to ${commitIndex}`);
      if (term === before.term && commitIndex === before.commitIndex) return;
    }
    this.running.set(node.id, { term, commitIndex });
  }

  persisted(node: NodeView): void {
    const { term, commit } = node.durable;
    const name = `${node.id}/${node.incarnation}`;
    const before = this.onDisk.get(name);
    if (before && term < before.term) this.fail(node, `wrote term ${term} over term ${before.term}`);
    // A log that lost its end goes on from where it ends now.
    if (before && commit < before.commit && !node.isDamaged)
      this.fail(node, `wrote commit index ${commit} over ${before.commit}`);
    this.onDisk.set(name, { term, commit });
  }

  ended(node: NodeView): void {
    this.running.delete(node.id);
  }

  private fail(node: NodeView, what: string): never {
    throw new Violation(this.property, `${node.id} ${what}.`);
  }
}
