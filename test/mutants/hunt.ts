import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** What a hunter is told of one run; a part of `Report` in src/sim/simulation.ts. */
interface RunReport {
  readonly failure: string | null;
  /** The property that was violated. */
  readonly property: string | null;
}

/** What a hunter says after each seed. */
export interface Sighting {
  readonly seed: number;
  readonly property: string | null;
  readonly failure: string | null;
}

/**
 * A process of its own for each planted bug, because one may hang or end it: runs the seeds of the simulator in the given build one after the
 * other, and says after each how it went. Ends with the first that fails, or the last.
 */
async function hunt(build: string, firstSeed: number, lastSeed: number): Promise<void> {
  Error.stackTraceLimit = 0;
  const { simulate } = (await import(pathToFileURL(join(build, 'sim', 'simulation.js')).href)) as {
    simulate: (options: { seed: number }) => Promise<RunReport>;
  };
  for (let seed = firstSeed; seed <= lastSeed; seed += 1) {
    const { failure, property } = await simulate({ seed });
    const sighting: Sighting = { seed, property, failure };
    await say(sighting);
    if (failure !== null) break;
  }
  process.disconnect?.();
}

/** Resolves when it is on its way: what is still waiting when the channel closes is lost, and a failure may be long. */
function say(sighting: Sighting): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(sighting, undefined, {}, (error) => (error ? reject(error) : resolve()));
  });
}

const [build = '', firstSeed = '', lastSeed = ''] = process.argv.slice(2);
await hunt(build, Number(firstSeed), Number(lastSeed));
