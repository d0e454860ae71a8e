import type { LockResult } from '../http/port.js';
import type { Cluster } from './cluster.js';
import type { Prng } from './prng.js';
import type { SimNode } from './sim-node.js';
import { TraceKind } from './trace.js';

/** What a lock user needs of the other clients' surroundings. */
interface Surroundings {
  pickNode(): SimNode | undefined;
  later(task: () => void, delayMs?: number): void;
}

const NAME = 'lock';
const TTL_MS_MIN = 200;
const TTL_MS_MAX = 800;
const WAITS_MS = [0, 300, 1500];
const TIMEOUT_MS = 1000;

/** A client that takes a lock, waiting in line or not, holds it for a while, and gives it back or lets it run out. */
export class LockUser {
  constructor(
    private readonly client: number,
    private readonly cluster: Cluster,
    private readonly surroundings: Surroundings,
    private readonly random: Prng,
  ) {}

  begin(): void {
    this.surroundings.later(() => {
      const node = this.surroundings.pickNode();
      if (node === undefined) this.begin();
      else this.acquire(node);
    });
  }

  private acquire(node: SimNode): void {
    const { referenceModel, lockOrder, lockEnds } = this.cluster.checkers;
    const fromIndex = referenceModel.lastIndex;
    const request = {
      name: Buffer.from(NAME),
      ttlMs: this.random.integer(TTL_MS_MIN, TTL_MS_MAX),
      waitMs: this.random.pick(WAITS_MS) ?? 0,
      value: '',
      signal: new AbortController().signal,
      stopping: new AbortController().signal,
    };
    this.note(`asks ${node.id} for the lock, and waits for ${request.waitMs} ms`);
    this.cluster.ask(
      node,
      ({ service }) => service.acquireLock(request, TIMEOUT_MS),
      (answer) => {
        const result: LockResult | null = 'value' in answer ? answer.value : null;
        this.note(`is told: ${result === null ? 'an error' : JSON.stringify(result)}`);
        if (result?.kind !== 'held') {
          this.begin();
          return;
        }
        this.cluster.check(() => lockOrder.held(node.id, NAME, result.token, fromIndex));
        lockEnds.isTold(result.token);
        this.surroundings.later(() => this.letGo(result.token), this.random.between(0, TTL_MS_MAX));
      },
    );
  }

  private letGo(token: number): void {
    const node = this.random.chance(0.7) ? this.surroundings.pickNode() : undefined;
    if (node === undefined) {
      this.begin();
      return;
    }
    this.note(`gives the lock back to ${node.id}`);
    this.cluster.checkers.lockEnds.givesBack(token);
    this.cluster.ask(
      node,
      ({ service }) => service.releaseLock({ name: Buffer.from(NAME), token }, TIMEOUT_MS),
      () => this.begin(),
    );
  }

  private note(what: string): void {
    const { trace } = this.cluster;
    trace.note(TraceKind.client, 0, this.client * 64, what.length, () => `client ${this.client} ${what}`);
  }
}
