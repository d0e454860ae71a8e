import { setTimeout as sleep } from 'node:timers/promises';
import type { Prng } from '../../../src/sim/prng.js';
import type { Revisions } from '../../e2e/revisions.js';
import { type Asker, documentOf, type Question, storeRevisionOf } from './asker.js';
import type { LeaseEnds } from './lease-ends.js';
import { COUNTER, type Holding, LOCK } from './lock-judge.js';
import { txnOf } from './transfers.js';

const TTL_MS = 2000;
const WAITS_MS = [0, 1000, 3000];
const INCREMENTS_MAX = 4;
const WORK_MS_MAX = 100;
const PAUSE_MS_MAX = 100;
const RELEASE_RATE = 0.7;
/** The share of those who wait that ask another node for the same at the same time, and hang up on it sooner or later. */
const TWICE_RATE = 0.3;
const HANG_UP_MS_MAX = 500;
/** The share of holders that do nothing for longer than their lease, and then go on as if they held it still. */
const SLEEPY_RATE = 0.1;
const OWNER = 'guarded/owner';

/**
 * Users of one lock, each of whom adds to a counter while it holds it: it reads, and writes one more. No condition on the counter
 * protects that, only the lock: the write puts a key with the lock's lease, too, and is refused where that is gone.
 */
export class LockUsers {
  readonly holdings: Holding[] = [];
  increments = 0;
  refused = 0;
  private isStopping = false;

  constructor(
    private readonly asker: Asker,
    private readonly random: Prng,
    private readonly revisions: Revisions,
    private readonly ends: LeaseEnds,
  ) {}

  async run(user: number): Promise<void> {
    const random = this.random.fork(`lock users ${user}`);
    for (let count = 0; !this.isStopping; count += 1) {
      await this.use(user, `${user}-${count}`, random);
      await sleep(random.between(0, PAUSE_MS_MAX));
    }
  }

  stop(): void {
    this.isStopping = true;
  }

  private async use(user: number, name: string, random: Prng): Promise<void> {
    const holding = await this.acquire(user, name, random);
    if (holding === undefined) return;
    const increments = random.integer(0, INCREMENTS_MAX);
    for (let turn = 0; turn < increments; turn += 1) {
      const isSleepy = random.chance(SLEEPY_RATE);
      const value = await this.readCounter();
      await sleep(isSleepy ? TTL_MS * 1.5 : random.between(0, WORK_MS_MAX));
      if (!isSleepy) await this.keepAlive(holding);
      if (!(await this.increment(`${name}-${turn}`, holding, value))) return;
    }
    if (random.chance(RELEASE_RATE)) await this.release(name, holding);
  }

  private async acquire(user: number, name: string, random: Prng): Promise<Holding | undefined> {
    const waitMs = random.pick(WAITS_MS) ?? 0;
    const question: Question = {
      method: 'POST',
      path: `/v1/locks/${LOCK}`,
      headers: { 'idempotency-key': `lock ${name}` },
      body: JSON.stringify({ ttlSeconds: TTL_MS / 1000, waitSeconds: waitMs / 1000 }),
      waitMs,
    };
    const { floor: fromRevision } = this.revisions;
    const sentAtMs = performance.now();
    const isTwice = waitMs > 0 && random.chance(TWICE_RATE);
    const impatient = { ...question, patienceMs: random.integer(1, HANG_UP_MS_MAX) };
    const [reply] = await Promise.all([
      this.asker.untilAnswered(question),
      isTwice ? this.asker.once(impatient) : undefined,
    ]);
    this.revisions.answered(storeRevisionOf(reply), 0, 'The lock');
    const { token, lease } = documentOf<{ token: number; lease: string }>(question, reply, 200, 201, 409);
    if (reply.status === 409) return undefined;
    this.ends.renewed(Number(lease), { ttlMs: TTL_MS, atMs: sentAtMs });
    const holding: Holding = {
      user,
      token,
      lease,
      fromRevision,
      throughRevision: this.revisions.floor,
      fromMs: reply.answeredAtMs,
      untilMs: sentAtMs + TTL_MS,
    };
    this.holdings.push(holding);
    return holding;
  }

  private async keepAlive(holding: Holding): Promise<void> {
    const reply = await this.asker.once({ method: 'POST', path: `/v1/leases/${holding.lease}/keepalive` });
    this.ends.touched(Number(holding.lease), TTL_MS);
    if (reply?.status === 404) this.ends.seenEnded(Number(holding.lease));
    if (reply?.status !== 200) return;
    holding.untilMs = reply.sentAtMs + TTL_MS;
    this.ends.renewed(Number(holding.lease), { ttlMs: TTL_MS, atMs: reply.sentAtMs });
  }

  private async readCounter(): Promise<number> {
    const question: Question = { method: 'GET', path: `/v1/kv/${COUNTER}` };
    const { floor } = this.revisions;
    const reply = await this.asker.untilAnswered(question);
    this.revisions.answered(storeRevisionOf(reply), floor, 'A read of the guarded counter');
    return reply.status === 404 ? 0 : Number(reply.text.split(' ')[0]);
  }

  /** Whether the lock was still held. */
  private async increment(name: string, { token, lease }: Holding, before: number): Promise<boolean> {
    const changes = { [COUNTER]: `${before + 1} ${token}`, [OWNER]: `${token}` };
    const question = txnOf(`guarded ${name}`, {
      success: [
        { put: { key: COUNTER, value: changes[COUNTER] } },
        { put: { key: OWNER, value: changes[OWNER], lease } },
      ],
    });
    const { floor } = this.revisions;
    const reply = await this.asker.untilAnswered(question);
    const { revision } = documentOf<{ revision: number }>(question, reply, 200, 404);
    if (reply.status === 404) {
      this.refused += 1;
      this.ends.seenEnded(Number(lease));
      return false;
    }
    this.increments += 1;
    this.revisions.acknowledged(revision, floor, changes);
    return true;
  }

  private async release(name: string, holding: Holding): Promise<void> {
    holding.untilMs = Math.min(holding.untilMs, performance.now());
    this.ends.givenBack(Number(holding.lease));
    const question: Question = {
      method: 'DELETE',
      path: `/v1/locks/${LOCK}?token=${holding.token}`,
      headers: { 'idempotency-key': `unlock ${name}` },
    };
    documentOf(question, await this.asker.untilAnswered(question), 200, 409);
    this.ends.seenEnded(Number(holding.lease));
  }
}
