/**
 * Hostile clients of the HTTP API against three real nodes, beside a steady client. No process ends, memory stays bounded, no
 * answer blames the node, nothing that the steady client was promised is lost, and nothing is left of the attack when it is over.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { present } from '../../../src/assert.js';
import { Prng } from '../../../src/sim/prng.js';
import { call } from '../../e2e/client.js';
import { until } from '../../e2e/wait.js';
import { type Attacked, attacked } from '../attacked.js';
import type { Target, TargetCluster } from '../cluster.js';
import type { MemoryWatch } from '../memory-watch.js';
import { assertNothingLost, assertRecovered, restOf } from './aftermath.js';
import { anyClient } from './clients.js';
import { Abandoned } from './connection.js';
import { HELD_LOCK, LARGE_PREFIX, MANY_PREFIX, routes } from './requests.js';
import { SteadyClient, type SteadyReport } from './steady.js';
import { Tally } from './tally.js';

/** Attackers at work at a time; the next one waits for one to leave. */
const CLIENTS_MAX = 400;
/** How many requests a client sends, about, until enough clients have told. */
const REQUESTS_PER_CLIENT = 1.6;
const CLIENTS_TO_LEARN = 500;
/** Connections that stay open although nobody looks at them any more. */
const ABANDONED_MAX = 400;
const LOOK_EVERY = 100;
/** Several pages of 2 MiB. */
const LARGE_KEYS = 1_500;
const LARGE_BYTES = 4_096;
/** A page is 1,000, and a transaction may walk 20,000. */
const MANY_KEYS = 10_000;
const OPERATIONS_MAX = 128;
/** Of large values; the body of a transaction is 64 KiB at most. */
const LARGE_OPERATIONS_MAX = 14;

export interface AttackOptions {
  readonly requests: number;
  /** Requests of hostile clients a second, as far as the machine keeps up. */
  readonly rate: number;
  readonly seed: number;
  /** How long the steady client is alone before the attack, and after it. */
  readonly aloneMs: number;
}

export interface AttackReport {
  readonly tally: Tally;
  readonly seconds: number;
  readonly steady: Readonly<Record<'before' | 'during' | 'after', SteadyReport>>;
}

export function attack(options: AttackOptions): Promise<Attacked<AttackReport>> {
  return attacked((cluster, memory) => attackCluster(cluster, memory, options));
}

async function attackCluster(
  cluster: TargetCluster,
  memory: MemoryWatch,
  options: AttackOptions,
): Promise<AttackReport> {
  await assertEveryRoute((await leaderOf(cluster)).url);
  await prepare((await leaderOf(cluster)).url);
  const leader = await leaderOf(cluster);
  const rest = restOf(cluster);
  const steady = new SteadyClient([leader, ...cluster.nodes].map(({ url }) => url));
  try {
    await sleep(options.aloneMs);
    const before = await steady.report('go on');
    const tally = new Tally();
    const startedAtMs = performance.now();
    await attackNodes(cluster, memory, options, tally);
    const seconds = (performance.now() - startedAtMs) / 1000;
    const during = await steady.report('go on');
    await sleep(options.aloneMs);
    const after = await steady.report('stop');
    if (tally.faults.length > 0) throw new Error(tally.faults.join('\n\n'));
    await assertRecovered(cluster, rest);
    await assertNothingLost(cluster, after.acknowledged);
    return { tally, seconds, steady: { before, during, after } };
  } finally {
    await steady.end();
  }
}

async function attackNodes(
  cluster: TargetCluster,
  memory: MemoryWatch,
  { requests, rate, seed }: AttackOptions,
  tally: Tally,
): Promise<void> {
  const voters = cluster.nodes.map(({ id, peer }) => ({ id, peer }));
  const abandoned = new Abandoned(ABANDONED_MAX);
  const atWork = new Set<Promise<void>>();
  const startedAtMs = performance.now();
  const random = new Prng(seed, 'campaign');
  let dueAtMs = startedAtMs;
  let failure: unknown;
  for (let number = 0; tally.requests < requests && failure === undefined; number += 1) {
    if (number % LOOK_EVERY === 0) {
      cluster.assertAllUp();
      memory.assertBounded();
    }
    const node = present(random.pick(cluster.nodes), 'There are nodes.');
    const stage = { port: node.httpPort, voters, abandoned, tally };
    const client = anyClient(stage, random.fork(`client ${number}`))
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => atWork.delete(client));
    atWork.add(client);
    dueAtMs += pauseMs(number + 1, tally.requests, (performance.now() - startedAtMs) / 1000, rate);
    const aheadMs = dueAtMs - performance.now();
    if (aheadMs > 0) await sleep(aheadMs);
    if (atWork.size >= CLIENTS_MAX) await Promise.race(atWork);
  }
  await Promise.all(atWork);
  abandoned.cut();
  if (failure !== undefined) throw failure;
  cluster.assertAllUp();
}

/**
 * How long after one client the next one begins, so that requests come evenly: a client sends its requests after it has connected,
 * so what was sent tells only of clients that began earlier. Where too much or too little was sent, the pause is longer or shorter.
 */
function pauseMs(clients: number, requests: number, seconds: number, rate: number): number {
  const perClient = clients < CLIENTS_TO_LEARN ? REQUESTS_PER_CLIENT : requests / clients;
  const surplusSeconds = requests / rate - seconds;
  return ((perClient * 1000) / rate) * Math.min(2, Math.max(0.5, 1 + surplusSeconds));
}

/** There is a hostile form of every route only where there is a valid one. */
async function assertEveryRoute(url: string): Promise<void> {
  const { paths } = (await (await call(url, '/openapi.json')).json()) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const methods = new Set(['get', 'head', 'put', 'post', 'delete', 'patch', 'options']);
  for (const [path, operations] of Object.entries(paths)) {
    for (const method of Object.keys(operations).filter((name) => methods.has(name))) {
      const name = `${method.toUpperCase()} ${path}`;
      present(routes[name], `requests.ts has ${name}, which /openapi.json lists.`);
    }
  }
}

/** What hostile clients ask for: large listings, long walks, a lock that is held. Every change may as well be made twice. */
async function prepare(url: string): Promise<void> {
  const large = 'large '.repeat(LARGE_BYTES / 6);
  const bodies = [
    ...inParts(LARGE_KEYS, LARGE_OPERATIONS_MAX).map((numbers) => puts(LARGE_PREFIX, numbers, large)),
    ...inParts(MANY_KEYS, OPERATIONS_MAX).map((numbers) => puts(MANY_PREFIX, numbers, 'x')),
  ];
  for (const body of bodies) await posted(url, '/v1/txn', body);
  await posted(url, `/v1/locks/${HELD_LOCK}`, { ttlSeconds: 31_536_000 });
}

function inParts(count: number, partMax: number): readonly (readonly number[])[] {
  const numbers = Array.from({ length: count }, (_, number) => number);
  return Array.from({ length: Math.ceil(count / partMax) }, (_, part) =>
    numbers.slice(part * partMax, (part + 1) * partMax),
  );
}

function puts(prefix: string, numbers: readonly number[], value: string): object {
  return { success: numbers.map((number) => ({ put: { key: `${prefix}${number}`, value } })) };
}

async function posted(url: string, path: string, body: object): Promise<void> {
  // However often it has to be sent, the lock is taken once.
  const headers = { 'idempotency-key': randomUUID() };
  await until(`POST ${path} done`, async () => {
    const init = { method: 'POST', body: JSON.stringify(body) };
    const response = await call(url, path, { headers }, init).catch(() => undefined);
    if (response === undefined) return undefined;
    const text = await response.text();
    if (response.status >= 400 && response.status < 500) throw new Error(`${response.status}: ${text}`);
    return response.ok ? true : undefined;
  });
}

async function leaderOf(cluster: TargetCluster): Promise<Target> {
  const [status] = await cluster.settled();
  return present(
    cluster.nodes.find(({ id }) => id === status?.leader),
    'A settled cluster has a leader.',
  );
}
