import type { LeaseId } from '../kv/types.js';
import type { ClientCommand, Outcome } from './operation.js';
import type { Prng } from './prng.js';
import type { Requests } from './requests.js';

/** What a holder needs of the other clients' surroundings. */
interface Surroundings {
  readonly requests: Requests;
  askSomebody(client: number, command: ClientCommand, settled: (outcome: Outcome) => void): void;
  later(task: () => void, delayMs?: number): void;
}

/** How often a lease is kept alive at most. */
const RENEWALS_MAX = 6;

/**
 * A client that holds one lease after the other: it puts keys with it, keeps it alive for a while, and then gives it back or lets it
 * run out, as a service does that registers itself and ends.
 */
export class LeaseHolder {
  constructor(
    private readonly client: number,
    private readonly surroundings: Surroundings,
    private readonly random: Prng,
  ) {}

  begin(): void {
    this.surroundings.later(() => this.grant());
  }

  private grant(): void {
    const ttlMs = this.surroundings.requests.ttlMs();
    this.ask({ kind: 'leaseGrant', ttlMs }, (outcome) => {
      if (outcome.kind !== 'done' || outcome.result.kind !== 'lease') this.begin();
      else this.hold(outcome.result.lease, ttlMs, this.random.integer(0, RENEWALS_MAX));
    });
  }

  private hold(lease: LeaseId, ttlMs: number, renewals: number): void {
    if (renewals === 0) {
      this.leave(lease);
      return;
    }
    const { requests } = this.surroundings;
    const isPut = this.random.chance(0.5);
    const key = requests.pickTemporaryKey();
    const put = () =>
      this.random.chance(0.3) ? requests.putInTransaction(key, lease) : requests.put(key, { lease });
    const command = isPut ? put() : ({ kind: 'leaseKeepAlive', lease } as const);
    this.ask(command, (outcome) => {
      const isOver = outcome.kind === 'done' && outcome.result.kind === 'leaseNotFound';
      if (isOver) this.begin();
      else
        this.surroundings.later(
          () => this.hold(lease, ttlMs, renewals - 1),
          ttlMs * this.random.between(0.1, 0.6),
        );
    });
  }

  private leave(lease: LeaseId): void {
    if (this.random.chance(0.3)) this.ask({ kind: 'leaseRevoke', lease }, () => this.begin());
    else this.begin();
  }

  private ask(command: ClientCommand, settled: (outcome: Outcome) => void): void {
    this.surroundings.askSomebody(this.client, command, settled);
  }
}
