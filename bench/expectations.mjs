/** What a report holds the figures against. What is not met is said at once, and remembered. */
export class Expectations {
  areMet = true;

  /** @param {boolean} holds @param {string} what what should hold, as a sentence */
  expectThat = (holds, what) => {
    if (holds) return;
    this.areMet = false;
    console.log(`  NOT MET: ${what}`);
  };
}
