/**
 * Attacks the peer port of real nodes. Strangers, who have no cluster secret, must have no effect at all. Insiders, who have
 * it, may break what Raft promises, because Raft is not Byzantine; but no process ends, memory stays bounded, every entry of every
 * log can be decoded, and divergence is reported.
 */
import type { NodeStatus } from '../../../src/http/port.js';
import { Prng } from '../../../src/sim/prng.js';
import { Dial } from '../../../src/transport/dial.js';
import { statusOf } from '../../e2e/client.js';
import { until } from '../../e2e/wait.js';
import { type Attacked, attacked } from '../attacked.js';
import type { Target, TargetCluster } from '../cluster.js';
import { Forger } from './forger.js';
import { firstDifference, readLog } from './judge.js';
import { forge, identityOf, type Situation } from './messages.js';
import { sendRawBytes } from './raw-bytes.js';
import { raftMembersOf, situationOf } from './situation.js';
import { sendAsStranger } from './stranger.js';

const REQUESTS_PER_CONNECTION = 25;
/** Strangers' connections to one node at a time. */
const STRANGERS = 4;
/** Requests after which a forger learns the present term, and claims to be another member. */
const REQUESTS_PER_CLAIM = 100;

export interface Report {
  readonly messages: number;
  readonly seconds: number;
  /** Sentences about what the nodes said of the attack. */
  readonly remarks: readonly string[];
}

/** Throws when strangers had an effect. */
export async function attackAsStrangers(messages: number, seed: number): Promise<Attacked<Report>> {
  return attacked(async (cluster, memory) => {
    const startedAtMs = performance.now();
    const before = await cluster.settled();
    const members = await raftMembersOf(cluster);
    const situation = { ...(await situationOf(cluster, members)) } as Situation;
    const share = Math.ceil(messages / (cluster.nodes.length * STRANGERS));
    let answered = 0;
    let sent = 0;
    await Promise.all(
      cluster.nodes.flatMap((node) =>
        Array.from({ length: STRANGERS }, async (_, number) => {
          const random = new Prng(seed, `stranger ${node.id} ${number}`);
          for (let left = share; left > 0; ) {
            memory.assertBounded();
            if (random.chance(0.2)) {
              await sendRawBytes('127.0.0.1', node.peerPort, random);
              left -= 1;
              sent += 1;
              continue;
            }
            const count = Math.min(left, REQUESTS_PER_CONNECTION);
            const requests = Array.from({ length: count }, () =>
              forge(situation, identityOf(situation, random), node.id, random),
            );
            answered += await sendAsStranger(`http://${node.peer}`, requests);
            left -= count;
            sent += count;
          }
        }),
      ),
    );
    if (answered > 0) throw new Error(`Strangers got ${answered} answers.`);
    const after = await cluster.settled();
    for (const [place, status] of after.entries()) assertUntouched(before[place], status);
    await cluster.takesWrites();
    return { messages: sent, seconds: secondsSince(startedAtMs), remarks: [] };
  });
}

/** Throws when a process ended, memory grew past the bound, an entry cannot be decoded, or divergence was not reported. */
export async function attackAsInsiders(messages: number, seed: number): Promise<Attacked<Report>> {
  return attacked(async (cluster, memory) => {
    const startedAtMs = performance.now();
    const members = await raftMembersOf(cluster);
    const share = Math.ceil(messages / cluster.nodes.length);
    let restarts = 0;
    const counts = await Promise.all(
      cluster.nodes.map(async (node) => {
        const random = new Prng(seed, `insider ${node.id}`);
        let situation = (await situationOf(cluster, members)) as Situation;
        let claim = identityOf(situation, random);
        const { secret } = cluster;
        const open = () =>
          new Dial(
            { id: '', incarnation: '', address: node.peer },
            {
              identity: () => ({ ...claim, versions: { oldest: 1, newest: 2 } }),
              clusterVersion: () => 2,
              auth: { mode: 'required', secrets: () => [secret] },
              knows: () => true,
            },
          ).client;
        const forger = new Forger(open);
        for (let sent = 0; sent < share; sent += 1) {
          if (sent % REQUESTS_PER_CLAIM === REQUESTS_PER_CLAIM - 1) {
            memory.assertBounded();
            cluster.assertAllUp();
            if (await isInQuarantine(node)) {
              await node.restart();
              restarts += 1;
            }
            situation = (await situationOf(cluster, members)) ?? situation;
            claim = identityOf(situation, random);
            forger.reconnect();
          }
          await forger.send(forge(situation, claim, node.id, random));
        }
        forger.close();
        return forger.counts;
      }),
    );
    cluster.assertAllUp();
    const statuses = await answering(cluster);
    const reasons = statuses.map(({ id, reason }) => `${id}: ${reason}`);
    await cluster.stop();
    const logs = await Promise.all(cluster.nodes.map((node) => readLog(node.id, node.dataDirectory)));
    const difference = firstDifference(logs);
    for (const node of cluster.nodes) node.start();
    const restarted = await answering(cluster);
    if (difference !== undefined) assertReported(difference, cluster.nodes, [...statuses, ...restarted]);
    return {
      messages: counts.reduce((sum, { sent }) => sum + sent, 0),
      seconds: secondsSince(startedAtMs),
      remarks: [
        `${counts.reduce((sum, { answered }) => sum + answered, 0)} answered, ${counts.reduce((sum, { refused }) => sum + refused, 0)} refused`,
        `${restarts} restarts of nodes in quarantine`,
        difference === undefined ? 'the logs agree' : `${difference}, and it was reported`,
        ...reasons,
      ],
    };
  });
}

function secondsSince(startedAtMs: number): number {
  return (performance.now() - startedAtMs) / 1000;
}

/** Every node answers and has opened its log and its state, whatever it says of itself. */
function answering(cluster: TargetCluster): Promise<readonly NodeStatus[]> {
  return until('every node answering', async () => {
    cluster.assertAllUp();
    const statuses = await Promise.all(cluster.nodes.map(({ url }) => statusOf(url)));
    const present = statuses.flatMap((status) =>
      status === undefined || /\bstarting\b/.test(status.reason) ? [] : [status],
    );
    return present.length === cluster.nodes.length ? present : undefined;
  });
}

async function isInQuarantine({ url }: Target): Promise<boolean> {
  return /in quarantine/.test((await statusOf(url))?.reason ?? '');
}

function assertUntouched(before: NodeStatus | undefined, after: NodeStatus): void {
  for (const name of ['term', 'leader', 'lastIndex', 'commitIndex', 'revision', 'digest'] as const) {
    if (before?.[name] === after[name]) continue;
    throw new Error(
      `Strangers had an effect on ${after.id}: ${name} was ${before?.[name]} and is ${after[name]}.`,
    );
  }
}

function assertReported(difference: string, nodes: readonly Target[], statuses: readonly NodeStatus[]): void {
  const isReported = statuses.some((status) => /quarantine|differs|differ/i.test(JSON.stringify(status)));
  const isLogged = nodes.some(({ run }) => /quarantine|differs/i.test(run?.output ?? ''));
  if (!isReported && !isLogged) throw new Error(`${difference}, and no node reports it.`);
}
