import { setTimeout as sleep } from 'node:timers/promises';
import { present } from '../../../src/assert.js';
import type { ItemJson } from '../../../src/client/item.js';
import type { TxnResultJson } from '../../../src/client/txn.js';
import { textOf } from '../../../src/sim/bytes.js';
import type { Prng } from '../../../src/sim/prng.js';
import type { Revisions } from '../../e2e/revisions.js';
import { type Asker, documentOf, type Question } from './asker.js';
import type { RecordedStates } from './recorded-states.js';

const ACCOUNTS = 5;
const BALANCE = 100;
const AMOUNT_MAX = 30;
const PAUSE_MS_MAX = 100;
const PREFIX = 'bank/';
export const ACCOUNT_PREFIX = `${PREFIX}account/`;
/** One key of its own for each transfer, put together with what it moves: where it was made twice, this was put twice. */
const ENTRY_PREFIX = `${PREFIX}entry/`;

/** One transfer, and what its client was told. */
export interface Transfer {
  readonly name: string;
  /** Undefined where it was never answered. */
  readonly answer: { readonly succeeded: boolean; readonly revision: number } | undefined;
}

/** Clients that move amounts between accounts, on the condition that nobody else has moved any meanwhile. */
export class Transfers {
  readonly transfers: Transfer[] = [];
  readonly violations: string[] = [];
  reads = 0;
  private isStopping = false;

  constructor(
    private readonly asker: Asker,
    private readonly random: Prng,
    private readonly revisions: Revisions,
  ) {}

  /** Opens the accounts. */
  async begin(): Promise<void> {
    const puts = Array.from({ length: ACCOUNTS }, (_, number) => ({
      put: { key: `${ACCOUNT_PREFIX}${number}`, value: String(BALANCE) },
    }));
    const question = txnOf('bank/open', { success: puts });
    documentOf(question, await this.asker.untilAnswered(question), 200);
  }

  async run(client: number): Promise<void> {
    const random = this.random.fork(`transfers ${client}`);
    for (let count = 0; !this.isStopping; count += 1) {
      await this.transfer(`${client}-${count}`, random);
      await sleep(random.between(0, PAUSE_MS_MAX));
    }
  }

  stop(): void {
    this.isStopping = true;
  }

  private async transfer(name: string, random: Prng): Promise<void> {
    const accounts = await this.readAccounts(random);
    const [from, to] = random.shuffled(accounts);
    if (from === undefined || to === undefined) return;
    const amount = random.integer(1, AMOUNT_MAX);
    if (Number(from.value) < amount) return;
    const changes = {
      [present(from.key, 'Accounts have names.')]: String(Number(from.value) - amount),
      [present(to.key, 'Accounts have names.')]: String(Number(to.value) + amount),
      [`${ENTRY_PREFIX}${name}`]: `${amount}`,
    };
    const question = txnOf(`bank/${name}`, {
      compare: [from, to].map(({ key, modRevision }) => ({
        key,
        target: 'modRevision',
        op: '=',
        value: modRevision,
      })),
      success: Object.entries(changes).map(([key, value]) => ({ put: { key, value } })),
      failure: [{ get: { key: from.key } }],
    });
    const { floor } = this.revisions;
    const place = this.transfers.push({ name, answer: undefined }) - 1;
    const answer = documentOf<TxnResultJson>(question, await this.asker.untilAnswered(question), 200);
    this.transfers[place] = { name, answer };
    if (answer.succeeded) this.revisions.acknowledged(answer.revision, floor, changes);
  }

  /** All accounts at one revision, by a transaction of gets or by a listing. */
  private async readAccounts(random: Prng): Promise<readonly ItemJson[]> {
    const { floor } = this.revisions;
    const isTxn = random.chance(0.5);
    const question: Question = isTxn
      ? {
          method: 'POST',
          path: '/v1/txn',
          body: JSON.stringify({ success: [{ get: { prefix: ACCOUNT_PREFIX } }] }),
        }
      : { method: 'GET', path: `/v1/kv?prefix=${ACCOUNT_PREFIX}` };
    const reply = await this.asker.untilAnswered(question);
    const document = documentOf<ReadJson>(question, reply, 200);
    const items = document.items ?? document.results?.[0]?.get.items ?? [];
    this.reads += 1;
    this.revisions.answered(document.revision, floor, 'A read of all accounts');
    const sum = items.reduce((total, { value }) => total + Number(value), 0);
    if (sum !== ACCOUNTS * BALANCE)
      this.violations.push(`A read of all accounts at revision ${document.revision} adds up to ${sum}.`);
    return items;
  }
}

/** A page of a listing, or a transaction with one get. */
interface ReadJson {
  readonly revision: number;
  readonly items?: readonly ItemJson[];
  readonly results?: readonly { readonly get: { readonly items: readonly ItemJson[] } }[];
}

export function txnOf(idempotencyKey: string, txn: object): Question {
  return {
    method: 'POST',
    path: '/v1/txn',
    headers: { 'idempotency-key': idempotencyKey },
    body: JSON.stringify(txn),
  };
}

/**
 * What is wrong with transfers in the light of all states: at every revision the accounts add up to the same, each transfer was made
 * once at most, at the revision that was answered, and not at all where that was the answer.
 */
export function judgeTransfers(transfers: readonly Transfer[], states: RecordedStates): readonly string[] {
  const wrong: string[] = [];
  const balances = new Map<string, number>();
  const madeAt = new Map<string, number[]>();
  for (let revision = 1; revision <= states.revision; revision += 1) {
    let isConcerned = false;
    for (const [key, item] of states.changesOf(revision)) {
      if (key.startsWith(ACCOUNT_PREFIX)) {
        balances.set(key, item === undefined ? 0 : Number(textOf(item.value)));
        isConcerned = true;
      } else if (key.startsWith(ENTRY_PREFIX)) {
        const name = key.slice(ENTRY_PREFIX.length);
        madeAt.set(name, [...(madeAt.get(name) ?? []), revision]);
      }
    }
    if (!isConcerned) continue;
    const sum = [...balances.values()].reduce((total, balance) => total + balance, 0);
    if (sum !== ACCOUNTS * BALANCE) wrong.push(`At revision ${revision} all accounts add up to ${sum}.`);
    for (const [key, balance] of balances)
      if (balance < 0) wrong.push(`${key} is ${balance} at revision ${revision}.`);
  }
  for (const { name, answer } of transfers) {
    const made = madeAt.get(name) ?? [];
    if (made.length > 1) wrong.push(`Transfer ${name} was made at the revisions ${made.join(' and ')}.`);
    const expected = answer?.succeeded === true ? answer.revision : undefined;
    if (answer !== undefined && made[0] !== expected)
      wrong.push(`Transfer ${name} was made at ${made[0]}, and the answer was ${JSON.stringify(answer)}.`);
  }
  return wrong;
}
