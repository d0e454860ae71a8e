import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeStatus } from '../../src/http/port.js';
import { get, put } from '../e2e/client.js';
import { FaultCluster, type ProcessWatch } from './cluster.js';
import type { FaultNetwork } from './network.js';
import { machine, spread } from './report.js';

const START_MS_MAX = 30_000;
const CONNECTIONS = 64;
const KEYS = 10_000;
const VALUE = 'v'.repeat(256);
const STATUS_EVERY_MS = 10_000;

export interface CalmOptions {
  readonly minutes: number;
  readonly ids: readonly string[];
  readonly directory: string;
  readonly network: FaultNetwork;
  readonly watch: ProcessWatch;
}

/** Full load without any fault: nobody may campaign. Resolves with whether the term stayed what it was. */
export async function runCalm({ minutes, ids, directory, network, watch }: CalmOptions): Promise<boolean> {
  const cluster = new FaultCluster(network, ids, directory, watch);
  try {
    await cluster.start(START_MS_MAX);
    const leader = await cluster.leader();
    const before = await cluster.statuses();
    console.info(
      `${CONNECTIONS} connections to ${leader.id}, half puts and half gets, for ${minutes} minutes.`,
    );
    const endsAt = performance.now() + minutes * 60_000;
    const times: number[] = [];
    let refused = 0;
    const clients = Array.from({ length: CONNECTIONS }, async (_, client) => {
      for (let turn = 0; performance.now() < endsAt; turn += 1) {
        const key = `calm/${(turn * CONNECTIONS + client) % KEYS}`;
        const startedAt = performance.now();
        const { kind } = await (turn % 2 === 0 ? put(leader.url, key, VALUE) : get(leader.url, key));
        times.push(performance.now() - startedAt);
        if (kind !== 'done' && kind !== 'found' && kind !== 'missing') refused += 1;
      }
    });
    while (performance.now() < endsAt) {
      await sleep(Math.min(STATUS_EVERY_MS, Math.max(0, endsAt - performance.now())));
      cluster.assertAllUp();
    }
    await Promise.all(clients);
    const after = await cluster.statuses();
    const perSecond = Math.round(times.length / (minutes * 60));
    console.info(
      `${times.length} requests, ${perSecond} a second, ${refused} refused or unknown; ${spread(times)}`,
    );
    console.info(`terms before: ${terms(before)}; after: ${terms(after)}; ${machine()}`);
    for (const { id, counters } of after) {
      console.info(
        `${id} was held up ${counters.stalls} times, at the longest for ${counters.longestStallMs} ms`,
      );
    }
    const isCalm = after.length === ids.length && after.every(({ term }) => term === before[0]?.term);
    console.info(isCalm ? 'Nobody campaigned.' : 'FAILED: the term changed under load.');
    if (!isCalm) console.info(cluster.nodes.map((node) => `--- ${node.id}\n${node.log}`).join('\n'));
    return isCalm;
  } finally {
    cluster.killAll();
    await Promise.all(cluster.nodes.map((node) => node.kill()));
  }
}

function terms(statuses: readonly NodeStatus[]): string {
  return statuses.map(({ id, term }) => `${id} ${term}`).join(', ');
}
