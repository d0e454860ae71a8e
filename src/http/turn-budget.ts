/** Lets so much be done in one turn of the event loop, and what is more in the next ones, in the order of asking. */
export class TurnBudget {
  readonly #perTurn: number;
  readonly #soon: (task: () => void) => void;
  #left: number;
  #waiting: { readonly cost: number; readonly proceed: () => void }[] = [];
  #isRenewing = false;

  /** @param soon Runs a task in another turn of the event loop. */
  constructor(perTurn: number, soon: (task: () => void) => void = setImmediate) {
    this.#perTurn = perTurn;
    this.#left = perTurn;
    this.#soon = soon;
  }

  /** Undefined where this turn has something left; otherwise resolves in one that has. The last one may take more than is left. */
  take(cost: number): Promise<void> | undefined {
    this.#renewLater();
    if (this.#left > 0 && this.#waiting.length === 0) {
      this.#left -= cost;
      return undefined;
    }
    return new Promise((proceed) => this.#waiting.push({ cost, proceed }));
  }

  #renewLater(): void {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    this.#soon(() => {
      this.#isRenewing = false;
      this.#left = this.#perTurn;
      let served = 0;
      for (const { cost, proceed } of this.#waiting) {
        if (this.#left <= 0) break;
        this.#left -= cost;
        proceed();
        served += 1;
      }
      this.#waiting = this.#waiting.slice(served);
      if (this.#waiting.length > 0) this.#renewLater();
    });
  }
}
