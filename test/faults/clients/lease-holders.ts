import { setTimeout as sleep } from 'node:timers/promises';
import type { LeaseId } from '../../../src/kv/types.js';
import type { Prng } from '../../../src/sim/prng.js';
import type { Revisions } from '../../e2e/revisions.js';
import { type Asker, documentOf, type Question } from './asker.js';
import type { LeaseEnds } from './lease-ends.js';

const TTL_MS = [1000, 2000, 4000];
const ROUNDS_MAX = 12;
/** Of the time of a lease, until the holder does the next thing. */
const ROUND_SHARE_MIN = 0.1;
const ROUND_SHARE_MAX = 0.4;
const REVOKE_RATE = 0.3;
export const LEASED_PREFIX = 'leased/';

/** Clients that hold one lease after the other: they put keys with it, keep it alive and read, and give it back or leave it. */
export class LeaseHolders {
  keptAlive = 0;
  private isStopping = false;

  constructor(
    private readonly asker: Asker,
    private readonly random: Prng,
    private readonly revisions: Revisions,
    private readonly ends: LeaseEnds,
  ) {}

  async run(client: number): Promise<void> {
    const random = this.random.fork(`lease holders ${client}`);
    for (let count = 0; !this.isStopping; count += 1) await this.hold(`${client}-${count}`, random);
  }

  stop(): void {
    this.isStopping = true;
  }

  private async hold(name: string, random: Prng): Promise<void> {
    const ttlMs = random.pick(TTL_MS) ?? 1000;
    const grant = granting(`lease ${name}`, ttlMs);
    const atMs = performance.now();
    const { lease: id } = documentOf<{ lease: string }>(grant, await this.asker.untilAnswered(grant), 201);
    const lease = Number(id);
    this.ends.renewed(lease, { ttlMs, atMs });
    const key = `${LEASED_PREFIX}${name}`;
    let isHeld = await this.put(key, id, ttlMs);
    for (let round = random.integer(0, ROUNDS_MAX); isHeld && round > 0 && !this.isStopping; round -= 1) {
      await sleep(ttlMs * random.between(ROUND_SHARE_MIN, ROUND_SHARE_MAX));
      isHeld = await (random.chance(0.3) ? this.read(key, lease) : this.keepAlive(id, ttlMs));
    }
    if (isHeld && random.chance(REVOKE_RATE)) await this.revoke(name, id);
    else this.ends.touched(lease, ttlMs);
  }

  private async put(key: string, id: string, ttlMs: number): Promise<boolean> {
    const question: Question = {
      method: 'PUT',
      path: `/v1/kv/${key}?lease=${id}`,
      headers: { 'idempotency-key': `put ${key}` },
      body: id,
    };
    const { floor } = this.revisions;
    const reply = await this.asker.untilAnswered(question);
    const { revision } = documentOf<{ revision: number }>(question, reply, 200, 201, 404);
    if (reply.status !== 404) this.revisions.acknowledged(revision, floor, { [key]: id });
    else this.ends.seenEnded(Number(id));
    this.ends.touched(Number(id), ttlMs);
    return reply.status !== 404;
  }

  /** Once, at one node: whoever keeps a lease alive tries again soon. */
  private async keepAlive(id: string, ttlMs: number): Promise<boolean> {
    const question: Question = { method: 'POST', path: `/v1/leases/${id}/keepalive` };
    const reply = await this.asker.once(question);
    this.ends.touched(Number(id), ttlMs);
    if (reply === undefined) return true;
    documentOf(question, reply, 200, 404);
    if (reply.status === 404) this.ends.seenEnded(Number(id));
    else this.ends.renewed(Number(id), { ttlMs, atMs: reply.sentAtMs });
    this.keptAlive += reply.status === 404 ? 0 : 1;
    return reply.status !== 404;
  }

  private async read(key: string, lease: LeaseId): Promise<boolean> {
    const reply = await this.asker.once({ method: 'GET', path: `/v1/kv/${key}` });
    if (reply?.status !== 404) return true;
    this.ends.seenEnded(lease);
    return false;
  }

  private async revoke(name: string, id: string): Promise<void> {
    this.ends.givenBack(Number(id));
    const question: Question = {
      method: 'DELETE',
      path: `/v1/leases/${id}`,
      headers: { 'idempotency-key': `revoke ${name}` },
    };
    documentOf(question, await this.asker.untilAnswered(question), 200, 404);
    this.ends.seenEnded(Number(id));
  }
}

function granting(idempotencyKey: string, ttlMs: number): Question {
  return {
    method: 'POST',
    path: '/v1/leases',
    headers: { 'idempotency-key': idempotencyKey },
    body: JSON.stringify({ ttlSeconds: ttlMs / 1000 }),
  };
}
