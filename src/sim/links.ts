import type { NodeId } from '../raft/types.js';

/** Which node can reach which: cut links stay cut until {@link heal}. */
export class Links {
  private readonly cuts = new Set<string>();
  private listeners: (() => void)[] = [];

  isCut(from: NodeId, to: NodeId): boolean {
    return this.cuts.size > 0 && this.cuts.has(`${from}>${to}`);
  }

  get areWhole(): boolean {
    return this.cuts.size === 0;
  }

  /** Nothing passes from any of the first to any of the second; the way back stays open. */
  cutOneWay(from: readonly NodeId[], to: readonly NodeId[]): void {
    for (const source of from) {
      for (const target of to) if (source !== target) this.cuts.add(`${source}>${target}`);
    }
    for (const listener of this.listeners) listener();
  }

  /** Nothing passes between the two groups. */
  cut(left: readonly NodeId[], right: readonly NodeId[]): void {
    this.cutOneWay(left, right);
    this.cutOneWay(right, left);
  }

  heal(): void {
    this.cuts.clear();
  }

  /** Calls back whenever links were cut. */
  whenCut(listener: () => void): void {
    this.listeners.push(listener);
  }
}
