import { setTimeout as sleep } from 'node:timers/promises';
import { Prng } from '../../src/sim/prng.js';
import { CalmClock } from './clients/calm-clock.js';
import { Clients } from './clients/clients.js';
import { FaultCluster, type ProcessWatch } from './cluster.js';
import { faults, faultsFor } from './faults.js';
import type { FaultNetwork } from './network.js';
import { keepEvidence, machine, spread } from './report.js';
import { limit } from './time-limits.js';
import { Traffic } from './traffic.js';

const START_MS_MAX = 30_000;
/** While a majority runs and can talk, a write is acknowledged within this time. */
const AVAILABLE_MS_MAX = 10_000;
/** After a fault has ended, every node is ready and takes writes within this time; processes may have to start for it. */
const RECOVERY_MS_MAX = 20_000;
/** After the last one, every node has applied the same within this time. */
const SETTLED_MS_MAX = 10_000;
const CALM_MS = 500;

export interface CampaignOptions {
  readonly minutes: number;
  readonly ids: readonly string[];
  readonly seed: number;
  readonly directory: string;
  readonly network: FaultNetwork;
  readonly watch: ProcessWatch;
}

/** Clients and faults side by side until the time is up, then the reckoning. */
export class Campaign {
  private readonly startedAt = performance.now();
  private readonly lines: string[] = [];
  private readonly random: Prng;
  private readonly untilAcknowledged = new Map<string, number[]>();
  private readonly untilRecovered = new Map<string, number[]>();
  private readonly clock = new CalmClock();
  private readonly clients: Clients;
  private term = 0;

  private constructor(
    private readonly options: CampaignOptions,
    private readonly cluster: FaultCluster,
    private readonly traffic: Traffic,
  ) {
    this.random = new Prng(options.seed, 'faults');
    this.clients = new Clients(cluster, new Prng(options.seed, 'clients'), traffic.revisions, this.clock);
  }

  /** Resolves with whether everything was as it must be. */
  static async run(options: CampaignOptions): Promise<boolean> {
    const { network, ids, directory, watch } = options;
    const cluster = new FaultCluster(network, ids, directory, watch);
    const traffic = new Traffic(cluster, new Prng(options.seed, 'traffic'));
    const campaign = new Campaign(options, cluster, traffic);
    try {
      await campaign.play();
      campaign.report();
    } catch (error) {
      campaign.note(`FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      await keepEvidence(directory, cluster, campaign.lines, traffic.operations, campaign.clients);
      campaign.explainFailure();
      return false;
    } finally {
      cluster.killAll();
      await Promise.all(cluster.nodes.map((node) => node.kill()));
    }
    return true;
  }

  private async play(): Promise<void> {
    const { cluster, traffic, clients, clock, options } = this;
    this.note(`seed ${options.seed}, ${options.ids.length} nodes, ${machine()}`);
    await cluster.start(limit(START_MS_MAX));
    traffic.start();
    await clients.start();
    clock.calm();
    const endsAt = performance.now() + options.minutes * 60_000;
    let deck: string[] = [];
    while (performance.now() < endsAt) {
      if (deck.length === 0) deck = this.random.shuffled(faultsFor(options.ids.length));
      await this.inflict(deck.pop() ?? '');
    }
    await Promise.all([traffic.stop(), clients.stop()]);
    await cluster.serving(limit(RECOVERY_MS_MAX));
    await clients.finish();
    const { appliedIndex, digest, term } = await cluster.settled(limit(SETTLED_MS_MAX));
    this.term = term;
    this.note(`all nodes have digest ${digest} at applied index ${appliedIndex}`);
    this.demand([...(await traffic.audit()), ...(await clients.audit())]);
  }

  /** One fault, from the calm before it to the recovery after it. */
  private async inflict(name: string): Promise<void> {
    const { cluster, traffic, clients, clock, random, options } = this;
    await sleep(CALM_MS);
    clock.disturbed();
    this.note(name);
    await faults[name]?.({
      cluster,
      random,
      network: options.network,
      note: (line) => this.note(line),
      available: async () => {
        const elapsed = await traffic.ledger.nextWrite(limit(AVAILABLE_MS_MAX));
        this.note(`  the next write was acknowledged after ${Math.round(elapsed)} ms`);
        add(this.untilAcknowledged, name, elapsed);
      },
    });
    const endedAt = performance.now();
    await cluster.serving(limit(RECOVERY_MS_MAX));
    const elapsed = performance.now() - endedAt;
    add(this.untilRecovered, name, elapsed);
    this.note(`  every node takes writes ${Math.round(elapsed)} ms after it ended`);
    clock.calm();
    this.demand([...traffic.check(), ...clients.check()]);
  }

  private demand(violations: readonly string[]): void {
    if (violations.length > 0) throw new Error(`Violations:\n${violations.join('\n')}`);
  }

  private report(): void {
    const outcomes = { done: 0, read: 0, refused: 0, unknown: 0 };
    for (const { outcome } of this.traffic.operations) outcomes[outcome.kind] += 1;
    const { acknowledged, unknown } = this.traffic.ledger.sizes;
    this.note('Every history is linearizable, and every acknowledged write is on every node.');
    this.note(
      `registers: ${outcomes.done} changes and ${outcomes.read} reads answered, ${outcomes.refused} refused, ` +
        `${outcomes.unknown} unknown; ledger: ${acknowledged} acknowledged, ${unknown} unknown`,
    );
    for (const line of this.clients.figures()) this.note(line);
    for (const [name, recovered] of this.untilRecovered) {
      const next = this.untilAcknowledged.get(name) ?? [];
      this.note(`${recovered.length} times: ${name}`);
      if (next.length > 0) this.note(`  until the next acknowledged write: ${spread(next)}`);
      this.note(`  until every node took writes after it: ${spread(recovered)}`);
    }
    this.note(`the last of ${this.term - 1} elections made term ${this.term}`);
    this.note(machine());
  }

  private explainFailure(): void {
    const { ids, seed, minutes, directory } = this.options;
    this.note(
      `Kept in ${directory}: tester.log (the faults and when they came), n1.log and so on (what each`,
    );
    this.note(
      'node said, all its starts), history.jsonl (registers: each request and its answer, in order), watch-of-n1.txt and so on',
    );
    this.note(
      '(what each watcher was told), clients.json (what the other clients were told), n1/ and so on (data).',
    );
    this.note(
      `The same order of faults: npm run test:faults -- --seed ${seed} --nodes ${ids.length} --minutes ${minutes}`,
    );
  }

  private note(line: string): void {
    const seconds = ((performance.now() - this.startedAt) / 1000).toFixed(1).padStart(6);
    this.lines.push(`${seconds} s  ${line}`);
    process.stdout.write(`${seconds} s  ${line}\n`);
  }
}

function add(times: Map<string, number[]>, name: string, time: number): void {
  times.set(name, [...(times.get(name) ?? []), time]);
}
