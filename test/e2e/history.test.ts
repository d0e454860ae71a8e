import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import type { Command, CommandResult } from '../../src/kv/types.js';
import { History, type Outcome } from '../../src/sim/history.js';
import { checkLinearizable } from '../../src/sim/linearizability.js';
import { get, put, remove, type WriteOutcome } from './client.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { until } from './wait.js';

const CLIENTS = 6;
const KEYS = 4;
/** Of each round, half before the leader is killed and half after. */
const OPERATIONS_PER_ROUND = 500;
const ROUNDS = 2;

/** A client of registers: does one thing after the other at nodes of its choice and writes down what it was told. */
class RegisterClient {
  /** The last revision that this client saw of each key, for conditions. */
  private readonly seen = new Map<string, number>();
  private count = 0;

  constructor(
    private readonly client: number,
    private readonly cluster: Cluster,
    private readonly history: History,
  ) {}

  async step(): Promise<void> {
    this.count += 1;
    const { nodes } = this.cluster;
    const { url } = present(nodes[pick(nodes.length)], 'There are nodes.');
    const key = `register/${pick(KEYS)}`;
    const query = pick(2) === 0 ? 'redirect=never' : '';
    switch (pick(6)) {
      case 0:
      case 1:
        return this.read(url, key, query);
      case 2:
        return this.change(url, query, { kind: 'delete', key: Buffer.from(key) });
      case 3:
        return this.change(url, query, { ...this.putOf(key), ifAbsent: true });
      case 4:
        return this.change(url, query, { ...this.putOf(key), ifRevision: this.seen.get(key) ?? 1 });
      default:
        return this.change(url, query, this.putOf(key));
    }
  }

  private putOf(key: string) {
    const value = Buffer.from(`${this.client}-${this.count}`);
    return { kind: 'put', key: Buffer.from(key), value, contentType: '' } as const;
  }

  private async read(url: string, key: string, query: string): Promise<void> {
    const operation = this.history.invoke(this.client, { kind: 'get', key: Buffer.from(key) });
    const outcome = await get(url, key, { query });
    if (outcome.kind === 'unavailable') {
      this.history.settle(operation, { kind: 'refused' });
    } else if (outcome.kind === 'missing') {
      this.history.settle(operation, { kind: 'read', item: undefined, appliedIndex: undefined });
    } else {
      this.seen.set(key, outcome.revision);
      const value = Buffer.from(outcome.value);
      const item = {
        key: Buffer.from(key),
        value,
        modRevision: outcome.revision,
        createRevision: 0,
        version: 0,
        contentType: '',
      };
      this.history.settle(operation, { kind: 'read', item, appliedIndex: undefined });
    }
  }

  private async change(
    url: string,
    query: string,
    command: Exclude<Command, { kind: 'deletePrefix' }>,
  ): Promise<void> {
    const operation = this.history.invoke(this.client, { kind: 'command', command });
    const key = Buffer.from(command.key).toString();
    const headers: Record<string, string> = {};
    if (command.ifAbsent) headers['if-none-match'] = '*';
    if (command.ifRevision !== undefined) headers['if-match'] = `"${command.ifRevision}"`;
    const answer =
      command.kind === 'put'
        ? await put(url, key, Buffer.from(command.value).toString(), { query, headers })
        : await remove(url, key, { query });
    if (answer.kind === 'done' && command.kind === 'put') this.seen.set(key, answer.revision);
    this.history.settle(operation, outcomeOf(command.kind, answer));
  }
}

function outcomeOf(kind: 'put' | 'delete', answer: WriteOutcome): Outcome {
  switch (answer.kind) {
    case 'refused':
    case 'unknown':
      return { kind: answer.kind };
    case 'preconditionFailed':
      return done({ kind: 'preconditionFailed', revision: 0, modRevision: answer.current });
    case 'missing':
      return done({ kind: 'delete', revision: 0, deleted: 0 });
    case 'done':
      return done(
        kind === 'put'
          ? { kind: 'put', revision: answer.revision, created: answer.created }
          : { kind: 'delete', revision: answer.revision, deleted: 1 },
      );
  }
}

function done(result: CommandResult): Outcome {
  return { kind: 'done', result };
}

function pick(count: number): number {
  return Math.floor(Math.random() * count);
}

describe('a history of registers', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  it('is linearizable over kills of the leader', async () => {
    const history = new History();
    let isStopping = false;
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      const registers = new RegisterClient(client, cluster, history);
      while (!isStopping) await registers.step();
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
    expect(history.counts().read).toBeGreaterThan(0);
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  });
});

async function moreAnswers(history: History, count: number): Promise<void> {
  const answers = () => history.counts().done + history.counts().read;
  const target = answers() + count;
  await until(`${count} more answers`, () => (answers() >= target ? true : undefined));
}
