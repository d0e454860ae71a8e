/** What must hold as soon as the attackers have gone. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { call, get, list, put } from '../../e2e/client.js';
import { until } from '../../e2e/wait.js';
import type { Target, TargetCluster } from '../cluster.js';
import { HELD_LOCK, STEADY_PREFIX } from './requests.js';

/** How soon; a place in line that nobody could give up, because there was no leader, lives for 11 s. */
const SOON_MS = 20_000;
/** Sockets that may be there although no client is: a member's that comes and goes, and our own questions. */
const SOCKETS_SPARE = 6;
/** What is held for nobody: answers to our own questions. */
const HELD_BYTES_SPARE = 64 * 1024;

export interface Rest {
  /** Sockets of each node, listening ones included. */
  readonly sockets: ReadonlyMap<string, number>;
}

/** What the nodes have open when nobody does anything. */
export function restOf(cluster: TargetCluster): Rest {
  return { sockets: new Map(cluster.nodes.map((node) => [node.id, socketsOf(node)])) };
}

/** Throws where something of the attack is left after a short time. */
export async function assertRecovered(cluster: TargetCluster, rest: Rest): Promise<void> {
  await dismissLearners(cluster);
  await cluster.settled();
  for (const node of cluster.nodes) await assertServes(node);
  for (const node of cluster.nodes) await assertNothingIsLeft(node, rest);
  await assertChangesAreFree(cluster);
}

/** Throws where a value is missing that the steady client was promised, or is another. */
export async function assertNothingLost(
  cluster: TargetCluster,
  acknowledged: ReadonlyMap<string, string>,
): Promise<void> {
  for (const { id, url } of cluster.nodes) {
    const found = await list(url, STEADY_PREFIX, 'redirect=never');
    const lost = [...acknowledged].filter(([key, value]) => found.get(key) !== value);
    if (lost.length === 0) continue;
    throw new Error(`${id} lost ${lost.length} acknowledged values, such as that of ${lost[0]?.[0]}.`);
  }
}

/** Hostile clients may add members; they never come, and are removed as an operator would. */
async function dismissLearners(cluster: TargetCluster): Promise<void> {
  const known = new Set(cluster.nodes.map(({ id }) => id));
  await until(
    'the members as they were',
    async () => {
      cluster.assertAllUp();
      const [first] = cluster.nodes;
      const url = first?.url ?? '';
      const response = await call(url, '/v1/members').catch(() => undefined);
      if (response?.ok !== true) return undefined;
      const { members } = (await response.json()) as { members: { id: string }[] };
      const strange = members.filter(({ id }) => !known.has(id));
      for (const { id } of strange) {
        await call(url, `/v1/members/${id}?redirect=never`, {}, { method: 'DELETE' }).catch(() => undefined);
      }
      return strange.length === 0 && members.length === known.size ? true : undefined;
    },
    SOON_MS,
  );
}

async function assertServes({ id, url }: Target): Promise<void> {
  await until(
    `${id} serving`,
    async () => {
      const written = await put(url, 'hostile/after', id, { query: 'redirect=never', timeoutMs: 2_000 });
      if (written.kind !== 'done') return undefined;
      const read = await get(url, 'hostile/after', { query: 'redirect=never', timeoutMs: 2_000 });
      return read.kind === 'found' && read.value === id ? true : undefined;
    },
    SOON_MS,
  );
}

async function assertNothingIsLeft(node: Target, rest: Rest): Promise<void> {
  const socketsMax = (rest.sockets.get(node.id) ?? 0) + SOCKETS_SPARE;
  let left = '';
  const look = async (): Promise<true | undefined> => {
    const metrics = await (await call(node.url, '/metrics')).text();
    const lock = (await (await call(node.url, `/v1/locks/${HELD_LOCK}?redirect=never`)).json()) as {
      waiting: number;
    };
    const now = {
      watches: metric(metrics, 'raftkv_watches'),
      heldBytes: metric(metrics, 'raftkv_http_held_bytes'),
      waits: metric(metrics, 'raftkv_waits'),
      sockets: socketsOf(node),
      waitingForLock: lock.waiting,
    };
    left = JSON.stringify(now);
    const isClear =
      now.watches === 0 &&
      now.waits === 0 &&
      now.waitingForLock === 0 &&
      now.heldBytes <= HELD_BYTES_SPARE &&
      now.sockets <= socketsMax;
    return isClear ? true : undefined;
  };
  try {
    await until(`nothing of the attack left at ${node.id}`, look, SOON_MS);
  } catch (error) {
    throw new Error(`${node.id} still has ${left}; sockets may be ${socketsMax}.`, { cause: error });
  }
}

/**
 * A change of the members that never came about must not stand in the way of the next. A member that an attacker added at the very
 * end may still be there; the address is one that no attacker names.
 */
async function assertChangesAreFree(cluster: TargetCluster): Promise<void> {
  const url = cluster.nodes[0]?.url ?? '';
  const body = JSON.stringify({ id: 'after', peer: '127.0.0.1:2' });
  let last = '';
  const add = async (): Promise<true | undefined> => {
    const response = await call(url, '/v1/members?redirect=never', {}, { method: 'POST', body }).catch(
      () => undefined,
    );
    last = `${response?.status} ${await response?.text()}`;
    if (response?.ok === true) return true;
    await sleep(100);
    return undefined;
  };
  try {
    await until('a member added', add, SOON_MS);
  } catch (error) {
    throw new Error(`No member could be added: ${last}`, { cause: error });
  }
  await dismissLearners(cluster);
}

function metric(metrics: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1] ?? Number.NaN);
}

/** 0 where the system does not tell. */
function socketsOf({ run }: Target): number {
  const directory = `/proc/${run?.pid ?? 0}/fd`;
  if (!existsSync(directory)) return 0;
  return readdirSync(directory).filter((name) => isSocket(`${directory}/${name}`)).length;
}

function isSocket(path: string): boolean {
  try {
    return readlinkSync(path).startsWith('socket:');
  } catch {
    // Closed since the directory was read.
    return false;
  }
}
