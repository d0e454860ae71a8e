import { textOf } from '../../../src/sim/bytes.js';
import type { Prng } from '../../../src/sim/prng.js';
import type { Revisions } from '../../e2e/revisions.js';
import { until } from '../../e2e/wait.js';
import type { FaultCluster } from '../cluster.js';
import { spread } from '../report.js';
import { limit } from '../time-limits.js';
import { Asker, documentOf } from './asker.js';
import { type Clocks, LeaseEnds } from './lease-ends.js';
import { LEASED_PREFIX, LeaseHolders } from './lease-holders.js';
import { judgeLocks } from './lock-judge.js';
import { LockUsers } from './lock-users.js';
import { judgeGlances, judgeListings, listAllOf, PastReader } from './past-reader.js';
import { judgeRepeaters, Repeaters } from './repeaters.js';
import { judgeTransfers, Transfers } from './transfers.js';
import { judgeWatchers } from './watched-history.js';
import { type Delivery, Watcher } from './watcher.js';

const TRANSFER_CLIENTS = 2;
const REPEATING_CLIENTS = 2;
const LEASE_HOLDERS = 3;
const LOCK_USERS = 3;
const END_MS_MAX = 20_000;
/** Keys that change seldom: who watches them is told how far it is, and not by events. */
const FEW_PREFIX = 'guarded/';
/** The last change, which every watcher asked for. */
const LAST_KEY = `${FEW_PREFIX}last`;

/** Clients of transactions, idempotency keys, leases, locks, watches and the past, and what is wrong with what they were told. */
export class Clients {
  readonly watchers: readonly Watcher[];
  private readonly asker: Asker;
  private readonly transfers: Transfers;
  private readonly repeaters: Repeaters;
  private readonly ends: LeaseEnds;
  private readonly holders: LeaseHolders;
  private readonly users: LockUsers;
  private readonly past: PastReader;
  private readonly running: Promise<void>[] = [];
  private readonly watching: Promise<void>[] = [];
  private failure: Error | undefined;

  constructor(
    private readonly cluster: FaultCluster,
    private readonly random: Prng,
    private readonly revisions: Revisions,
    clocks: Clocks,
  ) {
    this.asker = new Asker(cluster.urls, random.fork('asker'));
    this.ends = new LeaseEnds(clocks);
    this.transfers = new Transfers(this.asker, random, revisions);
    this.repeaters = new Repeaters(this.asker, random, revisions);
    this.holders = new LeaseHolders(this.asker, random, revisions, this.ends);
    this.users = new LockUsers(this.asker, random, revisions, this.ends);
    this.past = new PastReader(this.asker, random.fork('past'), revisions);
    const places = [
      ...cluster.nodes.map(({ id, url }) => ({ id, urls: [url] })),
      { id: 'all', urls: cluster.urls },
    ];
    this.watchers = [
      ...places.map(({ id, urls }) => this.watcherOf(id, urls, '')),
      this.watcherOf('few', cluster.urls, FEW_PREFIX),
    ];
  }

  async start(): Promise<void> {
    this.watching.push(...this.watchers.map((watcher) => this.guarded(watcher.run())));
    await this.transfers.begin();
    const start = (count: number, run: (client: number) => Promise<void>) => {
      for (let client = 1; client <= count; client += 1) this.running.push(this.guarded(run(client)));
    };
    start(TRANSFER_CLIENTS, (client) => this.transfers.run(client));
    start(REPEATING_CLIENTS, (client) => this.repeaters.run(client));
    start(LEASE_HOLDERS, (client) => this.holders.run(client));
    start(LOCK_USERS, (client) => this.users.run(client));
    start(1, () => this.past.run());
  }

  async stop(): Promise<void> {
    for (const client of [this.transfers, this.repeaters, this.holders, this.users, this.past]) client.stop();
    await Promise.all(this.running);
  }

  /** What is known to be wrong by now. */
  check(): readonly string[] {
    this.assertRunning();
    return [
      ...this.transfers.violations,
      ...this.repeaters.violations,
      ...this.ends.violations,
      ...this.ends.lingering(),
    ];
  }

  /** Waits until leases that nobody holds have ended and watchers have seen the last change. After {@link stop}. */
  async finish(): Promise<void> {
    this.assertRunning();
    const leases = { method: 'GET', path: '/v1/leases' } as const;
    const keys = { method: 'GET', path: `/v1/kv?prefix=${LEASED_PREFIX}` } as const;
    await until(
      'every lease that nobody keeps alive ended, with its keys',
      async () => {
        const listed = documentOf<{ leases: unknown[] }>(leases, await this.asker.untilAnswered(leases), 200);
        const page = documentOf<{ items: unknown[] }>(keys, await this.asker.untilAnswered(keys), 200);
        return listed.leases.length + page.items.length === 0 ? true : undefined;
      },
      limit(END_MS_MAX),
    );
    for (const watcher of this.watchers) watcher.settle();
    const last = { method: 'PUT', path: `/v1/kv/${LAST_KEY}`, body: 'last' } as const;
    const { revision } = documentOf<{ revision: number }>(
      last,
      await this.asker.untilAnswered(last),
      200,
      201,
    );
    for (const watcher of this.watchers) {
      await until(
        `everything at the watcher ${watcher.name}`,
        () => watcher.revision >= revision || undefined,
        limit(END_MS_MAX),
      );
    }
    for (const watcher of this.watchers) watcher.stop();
    await Promise.all(this.watching);
  }

  /** Looks at all of it, in the light of the whole history. After {@link finish}, when all nodes have applied everything. */
  async audit(): Promise<readonly string[]> {
    const listings = await listAllOf(this.cluster);
    const last = Math.max(...listings.map(({ revision }) => revision));
    const { states, violations } = judgeWatchers(this.watchers, this.revisions, last);
    return [
      ...this.check(),
      ...violations,
      ...judgeListings([...this.past.listings, ...listings], states),
      ...judgeGlances(this.past.glances, states),
      ...judgeTransfers(this.transfers.transfers, states),
      ...judgeRepeaters(this.repeaters.answered, states),
      ...judgeLocks(this.users.holdings, states),
    ];
  }

  /** What clients other than watchers were told, for whoever looks for the cause of a failure. */
  get told() {
    const { transfers, repeaters, users } = this;
    return { transfers: transfers.transfers, repeaters: repeaters.answered, locks: users.holdings };
  }

  /** A line for each kind of client. */
  figures(): readonly string[] {
    const { transfers, repeaters, ends, holders, users, past, watchers } = this;
    const made = transfers.transfers.filter(({ answer }) => answer?.succeeded).length;
    const events = watchers.map(({ deliveries }) => deliveries.filter(({ kind }) => kind === 'event').length);
    const connections = watchers.reduce((total, watcher) => total + watcher.connections, 0);
    return [
      `transactions: ${made} transfers made and ${transfers.transfers.length - made} refused by their conditions, ` +
        `${transfers.reads} reads of all accounts`,
      `idempotency: ${repeaters.answered.length} changes answered, ${repeaters.repeats} repeats answered alike, ` +
        `${repeaters.mismatches} other requests refused; ${this.asker.unanswered} attempts of all these clients refused or unanswered`,
      `leases: ${ends.count}, kept alive ${holders.keptAlive} times; ended after their time by ${spread(ends.lateMs)}`,
      `locks: given ${users.holdings.length} times, ${users.increments} guarded increments, ` +
        `${users.refused} refused because the lock was lost`,
      `watches: ${watchers.length} watchers, ${connections} streams, ${events.join(' / ')} events`,
      `the past: ${past.listings.length} listings and ${past.glances.length} reads of one key`,
    ];
  }

  private assertRunning(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  private watcherOf(id: string, urls: readonly string[], prefix: string): Watcher {
    return new Watcher({
      name: `of ${id}`,
      prefix,
      urls,
      random: this.random.fork(`watcher ${id}`),
      told: (delivery) => this.hear(delivery),
    });
  }

  /** What an event shows was, whatever comes later: reads and changes from now on must be of later revisions. */
  private hear(delivery: Delivery): void {
    if (delivery.kind === 'progress') this.revisions.answered(delivery.revision, 0, 'A watch');
    if (delivery.kind !== 'event') return;
    const { event, previousLease } = delivery;
    const value = event.item === undefined ? null : textOf(event.item.value);
    this.revisions.note(event.revision, { [textOf(event.key)]: value });
    if (event.kind === 'delete' && previousLease !== undefined) this.ends.seenEnded(previousLease);
  }

  /** A client that fails is told of where it can be said what was going on. */
  private async guarded(running: Promise<void>): Promise<void> {
    try {
      await running;
    } catch (error) {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
    }
  }
}
