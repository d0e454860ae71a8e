/** What every attack on real nodes has in common: the cluster, the watch over its memory, and what a failure shows. */
import { TargetCluster } from './cluster.js';
import { MemoryWatch } from './memory-watch.js';

/** Characters of a node's log, and of what it wrote to standard error, that a failure shows. */
const LOG_SHOWN = 4000;
const ERRORS_SHOWN = 2000;

/** What an attack reports, and how much memory a node took at most. */
export type Attacked<Report> = Report & { readonly residentMib: number };

/** Attacks a new cluster. Throws what the attack throws, and when a node's memory grew past the bound. */
export async function attacked<Report extends object>(
  attack: (cluster: TargetCluster, memory: MemoryWatch) => Promise<Report>,
): Promise<Attacked<Report>> {
  const cluster = await TargetCluster.started();
  const memory = new MemoryWatch(cluster.nodes);
  try {
    const report = await attack(cluster, memory);
    memory.assertBounded();
    return { ...report, residentMib: memory.residentBytes / 2 ** 20 };
  } catch (error) {
    for (const { id, run } of cluster.nodes) {
      console.error(`--- ${id}\n${run?.output.slice(-LOG_SHOWN)}${run?.errors.slice(-ERRORS_SHOWN)}`);
    }
    throw error;
  } finally {
    memory.stop();
    await cluster.remove();
  }
}
