import { setTimeout as sleep } from 'node:timers/promises';
import { present } from '../../src/assert.js';
import { History } from '../../src/sim/history.js';
import { checkLinearizable } from '../../src/sim/linearizability.js';
import type { Operation } from '../../src/sim/operation.js';
import type { Prng } from '../../src/sim/prng.js';
import { get } from '../e2e/client.js';
import { outcomeOfRead, RegisterClient } from '../e2e/register-client.js';
import { Revisions } from '../e2e/revisions.js';
import { until } from '../e2e/wait.js';
import type { FaultCluster } from './cluster.js';
import { Ledger } from './ledger.js';
import { limit } from './time-limits.js';

const CLIENTS = 6;
/** A client pauses after each operation for up to so long: the nodes are to be under faults and not under load. */
const PAUSE_MS_MAX = 20;
const KEYS = 4;
/** After so many operations clients go on to new keys: finding an order for a history takes more than linear time. */
const OPERATIONS_PER_ERA = 2000;
const LEDGER_WRITERS = 2;
const LEDGER_PAUSE_MS = 20;
const FINAL_READ_MS_MAX = 20_000;
/** In the history, whoever reads everything at the end. */
const AUDITOR = CLIENTS;

/** Keys that were in use for a while, and what was asked and answered of them. */
interface Era {
  readonly keys: readonly string[];
  readonly history: History;
  underWay: number;
  isChecked: boolean;
}

/** All clients, and what they know. */
export class Traffic {
  readonly revisions = new Revisions();
  readonly ledger: Ledger;
  private readonly eras: Era[] = [];
  private readonly workers: Promise<void>[] = [];
  private isStopping = false;

  constructor(
    private readonly cluster: FaultCluster,
    private readonly random: Prng,
  ) {
    this.ledger = new Ledger(cluster, this.revisions);
    this.eras.push(eraOf(0));
  }

  start(): void {
    for (let client = 0; client < CLIENTS; client += 1) this.workers.push(this.useRegisters(client));
    for (let writer = 0; writer < LEDGER_WRITERS; writer += 1) this.workers.push(this.fillLedger(writer));
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.workers);
  }

  get operations(): readonly Operation[] {
    return this.eras.flatMap((era) => era.history.operations);
  }

  /** Looks at what is complete; returns what is wrong with it. */
  check(): readonly string[] {
    const complete = this.eras.slice(0, -1).filter((era) => !era.isChecked && era.underWay === 0);
    return [...this.revisions.violations, ...complete.flatMap((era) => checkEra(era))];
  }

  /** Reads everything once more and looks at all of it. After {@link stop}. */
  async audit(): Promise<readonly string[]> {
    for (const era of this.eras) {
      for (const key of era.keys) await this.readFinally(era.history, key);
    }
    const wrong = this.eras.flatMap((era) => checkEra(era));
    return [...this.revisions.violations, ...wrong, ...(await this.ledger.differences())];
  }

  private async useRegisters(number: number): Promise<void> {
    const { revisions, cluster } = this;
    const random = this.random.fork(`client ${number}`);
    const client = new RegisterClient({ client: number, urls: cluster.urls, random, revisions });
    while (!this.isStopping) {
      const era = this.era();
      era.underWay += 1;
      await client.step(era);
      era.underWay -= 1;
      await sleep(random.between(0, PAUSE_MS_MAX));
    }
  }

  private async fillLedger(writer: number): Promise<void> {
    const { urls } = this.cluster;
    for (let turn = writer; !this.isStopping; turn += 1) {
      await this.ledger.write(urls[turn % urls.length] ?? '');
      await sleep(LEDGER_PAUSE_MS);
    }
  }

  private era(): Era {
    const last = present(this.eras.at(-1), 'There is an era from the start on.');
    if (last.history.operations.length < OPERATIONS_PER_ERA) return last;
    const next = eraOf(this.eras.length);
    this.eras.push(next);
    return next;
  }

  private async readFinally(history: History, key: string): Promise<void> {
    const { revisions, cluster } = this;
    const url = this.random.pick(cluster.urls) ?? '';
    const { floor } = revisions;
    const operation = history.invoke(AUDITOR, { kind: 'get', key: Buffer.from(key), byLease: false });
    const outcome = await until(
      `a last read of ${key}`,
      async () => {
        const read = await get(url, key);
        return read.kind === 'unavailable' ? undefined : read;
      },
      limit(FINAL_READ_MS_MAX),
    );
    revisions.answered(outcome.storeRevision, floor, `The last read of ${key}`);
    history.settle(operation, outcomeOfRead(key, outcome));
  }
}

function eraOf(number: number): Era {
  const keys = Array.from({ length: KEYS }, (_, key) => `register/${number}/${key}`);
  return { keys, history: new History(), underWay: 0, isChecked: false };
}

function checkEra(era: Era): readonly string[] {
  era.isChecked = true;
  const wrong: string[] = [];
  for (const [key, operations] of era.history.perKey()) {
    const verdict = checkLinearizable(operations);
    if (verdict.kind !== 'linearizable') wrong.push(`The history of ${key}: ${JSON.stringify(verdict)}.`);
  }
  return wrong;
}
