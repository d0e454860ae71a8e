import { setTimeout as sleep } from 'node:timers/promises';

/**
 * How often a condition is looked at: after an eighth of the time waited so far, within these bounds. What comes soon is noticed
 * soon, and what takes long, such as the starts of nodes, is not slowed down by questions.
 */
const POLL_MS_MIN = 20;
const POLL_MS_MAX = 100;

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
  const beganAt = performance.now();
  for (;;) {
    const value = await look();
    if (value !== undefined) return value;
    const waitedMs = performance.now() - beganAt;
    if (waitedMs > timeoutMs) throw new Error(`After ${timeoutMs} ms there was still not: ${what}.`);
    await sleep(Math.min(POLL_MS_MAX, Math.max(POLL_MS_MIN, waitedMs / 8)));
  }
}
