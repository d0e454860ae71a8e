import { setTimeout as sleep } from 'node:timers/promises';
import { present } from '../../src/assert.js';
import type { Prng } from '../../src/sim/prng.js';
import type { FaultCluster, FaultNode } from './cluster.js';
import { cutLog, flipLog, replaceMember, startsAgain } from './damage.js';
import type { FaultNetwork, Link, Manner } from './network.js';
import { limit } from './time-limits.js';

/** How long nodes are stopped or apart: from about one election timeout to several. */
const HOLD_MS_MIN = 400;
const HOLD_MS_MAX = 2500;
/** Of the blocked links, how many are refused rather than silent. */
const REFUSED_SHARE = 0.3;
/** Of three nodes, a minority is the leader alone. */
const MINORITY = 'kill a minority with the leader';
/** A stop in good order has to end by then. */
const STOP_MS_MAX = 8000;

export interface FaultContext {
  readonly cluster: FaultCluster;
  readonly network: FaultNetwork;
  readonly random: Prng;
  readonly note: (line: string) => void;
  /** Waits for a write that is asked for and acknowledged from now on; a majority runs and can talk. */
  readonly available: () => Promise<void>;
}

/** Does its harm, holds it, and takes it back; resolves when nothing is in the way of a recovery any more. */
type Fault = (context: FaultContext) => Promise<void>;

export const faults: Readonly<Record<string, Fault>> = {
  'kill the leader': async (context) => kill(context, [await context.cluster.leader()]),
  'kill a follower': async (context) => kill(context, [await context.cluster.follower()]),
  [MINORITY]: async (context) => {
    const leader = await context.cluster.leader();
    const others = context.random.shuffled(context.cluster.others(leader));
    await kill(context, [leader, ...others.slice(0, minority(context.cluster) - 1)]);
  },
  'kill all at once': async (context) => {
    const { cluster } = context;
    cluster.killAll();
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    for (const node of context.random.shuffled(cluster.nodes)) node.start();
  },
  'stop the leader with SIGTERM': async (context) => {
    const leader = await context.cluster.leader();
    const run = present(leader.run, 'The leader runs.');
    context.note(`  ${leader.id} is to stop`);
    run.signal('SIGTERM');
    await context.available();
    const exit = await run.ended(limit(STOP_MS_MAX));
    if (exit.code !== 0) throw new Error(`${leader.id} ended with ${exit.code} after SIGTERM: ${run.errors}`);
    leader.start();
  },
  'pause the leader': async (context) => pause(context, await context.cluster.leader()),
  'pause a follower': async (context) => pause(context, await context.cluster.follower()),
  'cut the leader off': async (context) => {
    const leader = await context.cluster.leader();
    await split(context, [leader], context.cluster.others(leader));
  },
  'cut a follower off': async (context) => {
    const follower = await context.cluster.follower();
    await split(context, [follower], context.cluster.others(follower));
  },
  'split in halves': async (context) => {
    const { cluster, random } = context;
    const nodes = random.shuffled(cluster.nodes);
    const size = minority(cluster);
    await split(context, nodes.slice(0, size), nodes.slice(size));
  },
  'one node is not heard': async (context) => {
    const node = await leaderOrAny(context);
    await block(context, linksFrom([node], context.cluster.others(node)));
  },
  'one node does not hear': async (context) => {
    const node = await leaderOrAny(context);
    await block(context, linksFrom(context.cluster.others(node), [node]));
  },
  'two halves with a bridge': async (context) => {
    const { cluster, random } = context;
    const [, ...rest] = random.shuffled(cluster.nodes);
    const half = rest.length / 2;
    await block(context, linksBetween(rest.slice(0, half), rest.slice(half)));
  },
  'cut the tail of a log': async (context) => damage(context, cutLog),
  'flip a bit in a log': async (context) => damage(context, flipLog),
};

/** The kinds that are of use to so many nodes. */
export function faultsFor(size: number): readonly string[] {
  return Object.keys(faults).filter((name) => size > 3 || name !== MINORITY);
}

/** The most nodes without which the others are a majority. */
function minority(cluster: FaultCluster): number {
  return Math.floor((cluster.nodes.length - 1) / 2);
}

async function kill(context: FaultContext, nodes: readonly FaultNode[]): Promise<void> {
  context.note(`  ${names(nodes)} killed`);
  for (const node of nodes) node.signal('SIGKILL');
  await context.available();
  await Promise.all(nodes.map((node) => node.kill()));
  await hold(context);
  for (const node of nodes) node.start();
}

async function pause(context: FaultContext, node: FaultNode): Promise<void> {
  context.note(`  ${node.id} paused`);
  node.signal('SIGSTOP');
  try {
    await context.available();
    await hold(context);
  } finally {
    node.signal('SIGCONT');
  }
}

async function split(
  context: FaultContext,
  some: readonly FaultNode[],
  others: readonly FaultNode[],
): Promise<void> {
  await block(context, linksBetween(some, others));
}

async function block(context: FaultContext, links: readonly Link[]): Promise<void> {
  const manner: Manner = context.random.chance(REFUSED_SHARE) ? 'refused' : 'silent';
  context.note(`  blocked, ${manner}: ${links.map(({ from, to }) => `${from}>${to}`).join(' ')}`);
  await context.network.block(links, manner);
  try {
    await context.available();
    await hold(context);
  } finally {
    await context.network.block([], manner);
  }
}

/**
 * Kills a node and damages its log while the others stay up. They must hold everything that the damage can take away: a
 * write that is acknowledged without the node brings with it, on a majority of the others, all that was before it.
 */
async function damage(
  context: FaultContext,
  harm: (node: FaultNode, random: Prng) => Promise<string>,
): Promise<void> {
  const { cluster, random, note } = context;
  const node = present(random.pick(cluster.nodes), 'There are nodes.');
  await node.kill();
  await context.available();
  note(`  ${node.id} killed; ${await harm(node, random)}`);
  if (await startsAgain(node)) {
    note(`  ${node.id} takes it for an unfinished write, or it was in nothing that is needed`);
    return;
  }
  const why = present(node.run, 'It ran.').errors.trim();
  note(`  ${node.id} refuses it: ${why || 'it is in quarantine'}`);
  await replaceMember(cluster, node);
  note(`  ${node.id} was removed and joined with an empty directory`);
}

function hold({ random }: FaultContext): Promise<void> {
  return sleep(random.between(HOLD_MS_MIN, HOLD_MS_MAX));
}

async function leaderOrAny({ cluster, random }: FaultContext): Promise<FaultNode> {
  if (random.chance(0.5)) return cluster.leader();
  return present(random.pick(cluster.nodes), 'There are nodes.');
}

function linksFrom(some: readonly FaultNode[], others: readonly FaultNode[]): readonly Link[] {
  return some.flatMap(({ id: from }) => others.map(({ id: to }) => ({ from, to })));
}

function linksBetween(some: readonly FaultNode[], others: readonly FaultNode[]): readonly Link[] {
  return [...linksFrom(some, others), ...linksFrom(others, some)];
}

function names(nodes: readonly FaultNode[]): string {
  return nodes.map((node) => node.id).join(' and ');
}
