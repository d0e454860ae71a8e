import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { History } from '../../src/sim/history.js';
import { checkLinearizable } from '../../src/sim/linearizability.js';
import { Prng } from '../../src/sim/prng.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { RegisterClient } from './register-client.js';
import { Revisions } from './revisions.js';
import { until } from './wait.js';

const CLIENTS = 6;
const KEYS = ['register/0', 'register/1', 'register/2', 'register/3'];
/** Of each round, half before the leader is killed and half after. */
const OPERATIONS_PER_ROUND = 500;
const ROUNDS = 2;

describe('a history of registers', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  it('is linearizable over kills of the leader', async () => {
    const history = new History();
    const revisions = new Revisions();
    const urls = cluster.nodes.map((node) => node.url);
    const random = new Prng(Date.now(), 'clients');
    let isStopping = false;
    const clients = Array.from({ length: CLIENTS }, async (_, number) => {
      const client = new RegisterClient({
        client: number,
        urls,
        revisions,
        random: random.fork(String(number)),
      });
      while (!isStopping) await client.step({ keys: KEYS, history });
    });
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        await moreAnswers(history, OPERATIONS_PER_ROUND / 2);
        const leader = await cluster.leader();
        await leader.kill();
        await moreAnswers(history, OPERATIONS_PER_ROUND / 2);
        leader.start();
        await cluster.ready();
      }
    } finally {
      isStopping = true;
      await Promise.all(clients);
    }
    for (const [key, operations] of history.perKey()) {
      expect(checkLinearizable(operations), key).toEqual({ kind: 'linearizable' });
    }
    expect(revisions.violations).toEqual([]);
    expect(history.counts().read).toBeGreaterThan(0);
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  });
});

async function moreAnswers(history: History, count: number): Promise<void> {
  const answers = () => history.counts().done + history.counts().read;
  const target = answers() + count;
  await until(`${count} more answers`, () => (answers() >= target ? true : undefined));
}
