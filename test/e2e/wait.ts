import { setTimeout as sleep } from 'node:timers/promises';

/** How often a condition is looked at: a condition that holds is noticed soon, and asking costs the nodes little. */
const POLL_MS = 20;

/**
 * What must come about comes about within this time wherever the machine gets to it at all; it only tells what is stuck from what
 * goes on. At a load average of 15 a process takes ten seconds to start.
 */
export const PATIENCE_MS = 120_000;

/**
 * Resolves with what `look` gives as soon as it gives something. Tests wait for what they need by asking for it, never by
 * sleeping for as long as it usually takes.
 */
export async function until<Value>(
  what: string,
  look: () => Promise<Value | undefined> | Value | undefined,
  timeoutMs = PATIENCE_MS,
): Promise<Value> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`After ${timeoutMs} ms there was still not: ${what}.`);
    await sleep(POLL_MS);
  }
}
