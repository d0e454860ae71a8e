import { afterEach, describe, expect, it } from 'vitest';
import { Prng } from '../../../src/sim/prng.js';
import { Revisions } from '../../e2e/revisions.js';
import { until } from '../../e2e/wait.js';
import { Asker, type Question, type Reply } from './asker.js';
import { LeaseEnds } from './lease-ends.js';
import { LeaseHolders } from './lease-holders.js';
import { Repeaters } from './repeaters.js';
import { Transfers } from './transfers.js';

const FOUND_MS_MAX = 10_000;
const clocks = {
  get nowMs() {
    return performance.now();
  },
  calmMs: 0,
};
const random = () => new Prng(1, 'test');

/** What a cluster would say that never fails to answer. */
class Script extends Asker {
  constructor(private readonly answer: (question: Question) => readonly [status: number, document: object]) {
    super([], random());
  }

  override async once(question: Question): Promise<Reply> {
    const [status, document] = this.answer(question);
    const atMs = performance.now();
    return {
      status,
      headers: new Headers(),
      text: JSON.stringify(document),
      sentAtMs: atMs,
      answeredAtMs: atMs,
    };
  }
}

let stop = () => {};
let running: Promise<void> = Promise.resolve();
afterEach(async () => {
  stop();
  await running;
});

/** What a client finds out soon. */
function found(
  client: { run(client: number): Promise<void>; stop(): void },
  violations: readonly string[],
  text: string,
) {
  stop = () => client.stop();
  running = client.run(1);
  return until(text, () => violations.some((one) => one.includes(text)) || undefined, FOUND_MS_MAX);
}

describe('clients notice', () => {
  let revision = 0;

  it('that a repeat is answered in another way', async () => {
    const script = new Script(({ method }) => {
      revision += 1;
      return [method === 'DELETE' ? 200 : 201, { revision, created: true }];
    });
    const repeaters = new Repeaters(script, random(), new Revisions());
    expect(await found(repeaters, repeaters.violations, 'A repeat under')).toBe(true);
  });

  it('that another request is done under a key that was used', async () => {
    const answers = new Map<string, readonly [number, object]>();
    const script = new Script(({ method, path, headers = {} }) => {
      const key = headers['idempotency-key'] ?? path;
      const known = answers.get(key);
      if (known !== undefined) return known;
      revision += 1;
      const answer = [method === 'DELETE' ? 200 : 201, { revision, created: true }] as const;
      answers.set(key, answer);
      return answer;
    });
    const repeaters = new Repeaters(script, random(), new Revisions());
    expect(await found(repeaters, repeaters.violations, 'Another request under the key')).toBe(true);
  });

  it('that accounts do not add up', async () => {
    const items = [90, 100, 100, 100, 100].map((value, at) => ({
      key: `bank/account/${at}`,
      value: `${value}`,
    }));
    const script = new Script(({ method, headers }) => {
      if (headers?.['idempotency-key'] !== undefined)
        return [200, { succeeded: false, revision: 1, results: [] }];
      return [
        200,
        method === 'GET' ? { revision: 1, items } : { revision: 1, results: [{ get: { items } }] },
      ];
    });
    const transfers = new Transfers(script, random(), new Revisions());
    expect(await found(transfers, transfers.violations, 'adds up to 490')).toBe(true);
  });

  it('that a lease is gone before its time', async () => {
    let lease = 0;
    const script = new Script(({ method, path }) => {
      if (path.startsWith('/v1/kv/')) {
        revision += 1;
        return method === 'PUT' ? [201, { revision, created: true }] : [404, {}];
      }
      if (path !== '/v1/leases') return [404, {}];
      lease += 1;
      return [201, { lease: String(lease) }];
    });
    const ends = new LeaseEnds(clocks);
    const holders = new LeaseHolders(script, random(), new Revisions(), ends);
    expect(await found(holders, ends.violations, 'A lease lasts for its time to live')).toBe(true);
  });
});
