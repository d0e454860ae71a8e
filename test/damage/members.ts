import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { present } from '../../src/assert.js';
import { Prng } from '../../src/sim/prng.js';
import { call, membersOf } from '../e2e/client.js';
import { Cluster, type TestNode } from '../e2e/cluster.js';
import { until } from '../e2e/wait.js';
import type { CampaignReport } from './campaign.js';
import { damage, kindOfDamage } from './damage.js';
import { Overwrites } from './overwrites.js';

/** So that logs are compacted, and members that come back far behind get snapshots. */
const FLAGS = ['--log-entries-max', '2000'];
/** What a node says that cannot help itself. */
const ADVICE = /member remove|remove the member|--join/;

/**
 * Damages one member after the other of a cluster that serves clients, each as soon as the one before is whole again. Whatever
 * the damage: nothing wrong is served, nothing acknowledged is lost, and the member becomes whole by itself or says what to do;
 * then that is done.
 *
 * @returns How often each way out was taken, and what must not have happened.
 */
export async function damageMembers(
  trials: number,
  seed: number,
  onTrial: (done: number) => void = () => {},
): Promise<CampaignReport> {
  const cluster = await Cluster.started(3, { flags: FLAGS });
  const writes = new Overwrites(cluster);
  const run = new Members(cluster, writes, new Prng(seed, 'members'));
  try {
    writes.start();
    await run.wearIn();
    for (let done = 0; done < trials; done += 1) {
      await run.trial(done);
      onTrial(done + 1);
    }
  } catch (error) {
    run.failures.push(`${error instanceof Error ? error.stack : error}\n${cluster.logs()}`);
  } finally {
    await writes.end();
    await cluster.remove();
  }
  return { counts: run.counts, failures: [...run.failures, ...writes.violations] };
}

class Members {
  readonly counts = new Map<string, number>();
  readonly failures: string[] = [];

  constructor(
    private readonly cluster: Cluster,
    private readonly writes: Overwrites,
    private readonly random: Prng,
  ) {}

  /** Starts every member again, which makes tables of its write-ahead logs, and keeps their files as they are then. */
  async wearIn(): Promise<void> {
    for (const node of this.cluster.nodes) {
      await node.stop();
      await this.keep(node);
      node.start();
      await this.cluster.ready();
    }
  }

  async trial(count: number): Promise<void> {
    const { cluster, random, writes } = this;
    const node = present(cluster.nodes[count % cluster.nodes.length], 'There are three.');
    // A process that was killed leaves other files than one that was told to stop.
    if (random.chance(0.5)) await node.kill();
    else await node.stop();
    const kind = kindOfDamage(random);
    const { file, place } = await damage(kind, node.dataDirectory, this.earlierOf(node), random);
    const what = `${kind} of ${node.id}/${file.store}/${file.name} ${place}`;
    const reading = new AbortController();
    const read = writes.readFrom(node.url, reading.signal);
    node.start();
    const wayOut = await this.wholeAgain(node, what);
    const name = `${file.store === 'log' ? 'log' : 'state'}: ${kind} ${wayOut}`;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    reading.abort();
    await read;
    await writes.pause();
    const digests = await cluster.settled();
    if (new Set(digests.values()).size !== 1)
      this.failures.push(`${what}: the digests differ: ${[...digests].join(' ')}`);
    const before = writes.violations.length;
    await writes.verify();
    if (writes.violations.length > before) this.failures.push(`${what}: ${wayOut}`);
    writes.start();
  }

  /** Waits until the node is a voter again that has caught up, doing what it says; tells how that came about. */
  private async wholeAgain(node: TestNode, what: string): Promise<string> {
    const { cluster } = this;
    const state = await until(`${node.id} ready, or an advice after ${what}`, async () => {
      if (node.run?.exit !== undefined) return 'refused' as const;
      const answer = await call(node.url, '/readyz', { timeoutMs: 1000 }).catch(() => undefined);
      if (answer === undefined) return undefined;
      const { reason = '' } = (await answer.json().catch(() => ({}))) as { readonly reason?: string };
      if (answer.ok) return 'ready' as const;
      return ADVICE.test(reason) ? ('waits' as const) : undefined;
    });
    if (state === 'ready') {
      await this.isVoter(node);
      return /repair/i.test(node.run?.output ?? '') ? 'repaired by the node' : 'started';
    }
    const { errors = '', output = '' } = node.run ?? {};
    const said = state === 'refused' ? errors : output;
    if (!ADVICE.test(said)) this.failures.push(`${what}: no advice: ${said.slice(-2000)}`);
    if (/^ +at /m.test(errors)) this.failures.push(`${what}: a stack trace: ${errors.slice(0, 2000)}`);
    await cluster.removeMember(node.id);
    const replacement = await cluster.replacementOf(node);
    await rm(this.earlierOf(node), { recursive: true, force: true });
    const others = cluster.nodes.filter(({ id }) => id !== node.id);
    replacement.start(['--join', others.map(({ url }) => url).join(',')]);
    await cluster.ready();
    await this.isVoter(replacement);
    return state === 'refused' ? 'refused, and replaced' : 'waited with an advice, and replaced';
  }

  private async isVoter(node: TestNode): Promise<void> {
    await until(`${node.id} a voter`, async () => {
      const members = await membersOf((await this.cluster.leader()).url).catch(() => []);
      return members.some(({ id, role }) => id === node.id && role === 'voter') && members.length === 3
        ? true
        : undefined;
    });
  }

  /** Keeps a stopped node's files as they are now. */
  private async keep(node: TestNode): Promise<void> {
    await cp(node.dataDirectory, this.earlierOf(node), { recursive: true });
  }

  private earlierOf({ id }: TestNode): string {
    return join(this.cluster.directory, 'earlier', id);
  }
}
