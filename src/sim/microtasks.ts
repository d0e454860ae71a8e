import { assert } from '../assert.js';

/**
 * Runs every micro-task that waits, and those that they add, before it returns. Between two events of the real event loop
 * the same happens; a `setImmediate` for each virtual event would do it too, at forty times the price, which is more than
 * the event itself costs. Node has had this function since its first versions and documents it only as a legacy name
 * (DEP0134), so {@link assertDrains} makes sure that it does what it is needed for.
 */
export const drainMicrotasks = (process as unknown as { readonly _tickCallback: () => void })._tickCallback;

/** Throws unless {@link drainMicrotasks} works here: it does nothing when a micro-task calls it. */
export function assertDrains(): void {
  let depth = 0;
  const deeper = () => {
    depth += 1;
    if (depth < 100) queueMicrotask(deeper);
  };
  queueMicrotask(deeper);
  drainMicrotasks();
  assert(depth === 100, 'The simulator runs outside of promises, on a Node that can drain its micro-tasks.');
}
