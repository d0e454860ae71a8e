import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecretFile } from '../../src/cli/secret.js';
import { Prng } from '../../src/sim/prng.js';
import { until } from '../e2e/wait.js';
import type { CampaignOptions } from './campaign.js';
import { FaultCluster, type FaultNode } from './cluster.js';
import { Traffic } from './traffic.js';

/** The longest that a node may take to start and to serve, or all of them to agree, on a busy machine. */
const PATIENCE_MS = 60_000;
/** Writes between two steps. */
const WRITES_BETWEEN = 20;

/**
 * Moves a running cluster from no secret to one, and to the next one, node by node and while clients read and write, as
 * docs/operations.md tells operators to. The nodes need addresses other than loopback, where secrets are for.
 */
export async function moveToSecret(options: Omit<CampaignOptions, 'minutes'>): Promise<boolean> {
  const { network, ids, directory, watch, seed } = options;
  const cluster = new FaultCluster(network, ids, directory, watch);
  const traffic = new Traffic(cluster, new Prng(seed, 'traffic'));
  try {
    await new SecretMove(cluster, traffic, directory).play();
    console.info('The cluster moved to a secret and to the next one, and clients noticed nothing.');
    return true;
  } catch (error) {
    console.info(`FAILED: ${error instanceof Error ? error.stack : String(error)}`);
    console.info(cluster.nodes.map((node) => `--- ${node.id}\n${node.log.slice(-4000)}`).join('\n'));
    return false;
  } finally {
    cluster.killAll();
    await Promise.all(cluster.nodes.map((node) => node.kill()));
  }
}

class SecretMove {
  readonly #startedAt = performance.now();

  constructor(
    private readonly cluster: FaultCluster,
    private readonly traffic: Traffic,
    private readonly directory: string,
  ) {}

  async play(): Promise<void> {
    const { cluster, traffic } = this;
    const { nodes } = cluster;
    for (const node of nodes) node.peerFlags = ['--insecure-peers'];
    await cluster.start(PATIENCE_MS);
    traffic.start();
    await this.#goesOn('without a secret');

    // A file for each node, as on machines of their own.
    const first = join(this.directory, 'first-secret');
    createSecretFile(first);
    for (const node of nodes) copyFileSync(first, this.#fileOf(node));
    for (const node of nodes) {
      await this.#restart(node, ['--cluster-secret-file', this.#fileOf(node), '--peer-auth', 'permissive']);
    }
    await this.#warnings('every node hears a proof of all peers', (all) =>
      all.every((warnings) => warnings.some((one) => one.includes('All connected peers do.'))),
    );
    await this.#goesOn('permissive');

    for (const node of nodes) await this.#restart(node, ['--cluster-secret-file', this.#fileOf(node)]);
    await this.#warnings('nothing to mend', (all) => all.flat().length === 0);
    await this.#goesOn('required');

    const old = readFileSync(first, 'utf8');
    const next = join(this.directory, 'next-secret');
    createSecretFile(next);
    const fresh = readFileSync(next, 'utf8');
    for (const node of nodes) replace(this.#fileOf(node), `${fresh}${old}`);
    await this.#goesOn('two secrets in each file');
    for (const node of nodes) replace(this.#fileOf(node), fresh);
    // Of every two nodes at least one connects anew.
    for (const node of nodes.slice(1)) await this.#restart(node, node.peerFlags);
    await this.#warnings('nothing to mend', (all) => all.flat().length === 0);
    await this.#goesOn('rotated');

    await traffic.stop();
    await cluster.settled(PATIENCE_MS);
    const wrong = await traffic.audit();
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
  }

  #fileOf({ id }: FaultNode): string {
    return join(this.directory, `${id}-secret`);
  }

  async #restart(node: FaultNode, peerFlags: readonly string[]): Promise<void> {
    node.signal('SIGTERM');
    const exit = await node.run?.ended(PATIENCE_MS);
    if (exit?.code !== 0) throw new Error(`${node.id} ended with ${JSON.stringify(exit)}.`);
    node.peerFlags = peerFlags;
    node.start();
    await this.cluster.serving(PATIENCE_MS);
  }

  /** Waits until the warnings in the status of every node are as they should be. */
  async #warnings(what: string, holds: (all: readonly (readonly string[])[]) => boolean): Promise<void> {
    const { cluster } = this;
    await until(
      what,
      async () => {
        const statuses = await cluster.statuses();
        const all = statuses.map(({ warnings }) => warnings);
        return all.length === cluster.nodes.length && holds(all) ? true : undefined;
      },
      PATIENCE_MS,
    );
  }

  async #goesOn(what: string): Promise<void> {
    const { ledger } = this.traffic;
    const wanted = ledger.sizes.acknowledged + WRITES_BETWEEN;
    await until(
      `${WRITES_BETWEEN} more writes (${what})`,
      () => (ledger.sizes.acknowledged >= wanted ? true : undefined),
      PATIENCE_MS,
    );
    const wrong = this.traffic.check();
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
    console.info(`${((performance.now() - this.#startedAt) / 1000).toFixed(1)} s: ${what}`);
  }
}

/** As a whole, so that nobody reads half of it. */
function replace(file: string, content: string): void {
  writeFileSync(`${file}.new`, content, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
