import { SPOKEN_VERSIONS, UNREPORTED_VERSIONS } from '../cluster-version.js';
import type { Cluster } from './cluster.js';
import type { Prng } from './prng.js';
import type { SimNode } from './sim-node.js';
import { TraceKind } from './trace.js';

const PAUSE_MS_MIN = 200;
const PAUSE_MS_MAX = 1500;
const DOWN_MS_MIN = 50;
const DOWN_MS_MAX = 400;
const HOLD_TIMEOUT_MS = 2000;
/** How often a node that may still go back does, and how often an operator holds the upgrade or lets it go on. */
const BACK_RATE = 0.25;
const HOLD_RATE = 0.15;

/**
 * Upgrades a cluster whose machines have an earlier program, one after the other and at times one of them back again, while
 * all other faults go on. Draws from a stream of its own, so that other runs stay what they are.
 */
export class Upgrader {
  private hasEnded = false;

  constructor(
    private readonly cluster: Cluster,
    private readonly random: Prng,
  ) {}

  /** Goes on until {@link end}; does nothing in a cluster whose programs are all of one version. */
  begin(): void {
    if (!this.cluster.settings.startsEarlier) return;
    this.cluster.scheduler.after(this.random.between(PAUSE_MS_MIN, PAUSE_MS_MAX), null, () => {
      if (this.hasEnded) return;
      this.step();
      this.begin();
    });
  }

  /** Half of the clusters are left as they are: one of mixed programs must come to order, too. */
  end(): void {
    this.hasEnded = true;
    if (!this.cluster.settings.startsEarlier || this.random.chance(0.5)) return;
    for (const node of this.cluster.nodes.values()) if (!isNew(node)) this.install(node, true);
  }

  private step(): void {
    const node = this.random.pick([...this.cluster.nodes.values()].filter((one) => one.isInService));
    if (node === undefined) return;
    if (this.random.chance(HOLD_RATE)) {
      const held = this.random.chance(0.5);
      this.note(`the operator asks ${node.id} to ${held ? 'hold the upgrade' : 'let the upgrade go on'}`);
      this.cluster.ask(
        node,
        ({ service }) => service.holdClusterVersion(held, HOLD_TIMEOUT_MS),
        () => {},
      );
      return;
    }
    const mayGoBack = node.server?.store.clusterVersion === 1 && this.random.chance(BACK_RATE);
    if (!isNew(node) || mayGoBack) this.install(node, !isNew(node));
  }

  /** Puts the other program onto the machine, and starts it if one ran there. */
  private install(node: SimNode, isNewer: boolean): void {
    this.note(`${node.id} gets the ${isNewer ? 'new' : 'earlier'} program`);
    node.program = isNewer ? SPOKEN_VERSIONS : UNREPORTED_VERSIONS;
    this.cluster.operator.stop(node, this.random.between(DOWN_MS_MIN, DOWN_MS_MAX));
  }

  private note(what: string): void {
    this.cluster.trace.note(TraceKind.fault, 0, what.length, 0, () => `! ${what}`);
  }
}

function isNew(node: SimNode): boolean {
  return node.program === SPOKEN_VERSIONS;
}
