import { present } from '../assert.js';
import { RaftkvError } from '../errors.js';
import type { CommandResult } from '../kv/types.js';
import { Violation } from './checkers/checker.js';
import { CounterOrder } from './checkers/counter-order.js';
import { FreshReads } from './checkers/fresh-reads.js';
import type { Cluster } from './cluster.js';
import { History } from './history.js';
import { LeaseHolder } from './lease-holder.js';
import { LockUser } from './lock-user.js';
import { type ClientCommand, type Operation, type Outcome, type Request, readingOf } from './operation.js';
import { PastReader } from './past-reader.js';
import type { Prng } from './prng.js';
import { describeOutcome, describeRequest, Requests } from './requests.js';
import type { Server, SimNode } from './sim-node.js';
import { TraceKind } from './trace.js';

/** How long clients let a node try, and how much longer they wait for the answer. */
const REQUEST_TIMEOUTS_MS = [200, 1500, 1500, 3000];
const ANSWER_MS_MAX = 500;
/** A client that asked has its answer, or has given up, after so long. */
export const CLIENT_PATIENCE_MS = Math.max(...REQUEST_TIMEOUTS_MS) + ANSWER_MS_MAX;
/** Who was refused comes back so many times later: most often there is no leader. */
const REFUSED_PATIENCE = 4;
/** How often a client asks for something that can be repeated. */
const ATTEMPTS_MAX = 5;
/** From one read of a leader that is cut off to the next. */
const VISIT_MS_MAX = 40;
/** How often a client asks for the next thing before it has its answer. */
const HASTY_RATE = 0.08;
/** The share of answered commands that are asked for once more. */
const REPEAT_RATE = 0.15;

/** Errors after which it is certain that nothing was changed. */
const REFUSALS: ReadonlySet<string> = new Set([
  'no_leader',
  'overloaded',
  'shutting_down',
  'not_ready',
  'cluster_not_upgraded',
]);

/** One asking: the operation that it belongs to, and where. */
interface Attempt {
  readonly operation: Operation;
  readonly node: SimNode;
  /** What was acknowledged to anybody when it began. */
  readonly acknowledgedIndex: number;
}

/** Clients, each of which asks one thing after the other of whatever node it likes. */
export class Workload {
  readonly history = new History();
  readonly requests: Requests;
  private readonly pastReader: PastReader;
  private readonly freshReads = new FreshReads();
  private readonly counterOrder = new CounterOrder();
  private isStopped = false;
  private busyCount = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly random: Prng,
  ) {
    const { settings } = cluster;
    this.requests = new Requests(settings, random.fork('requests'));
    this.pastReader = new PastReader(cluster, random.fork('past'));
    for (let client = 1; client <= settings.clientCount; client += 1) this.pause(client);
    if (settings.faults.includes('staleLeader')) this.visitLonelyLeader();
    for (let holder = 1; holder <= settings.holderCount; holder += 1)
      new LeaseHolder(settings.clientCount + holder, this, random.fork(`holder ${holder}`)).begin();
    for (let user = 1; user <= settings.lockUserCount; user += 1) {
      const number = settings.clientCount + settings.holderCount + user;
      new LockUser(number, cluster, this, random.fork(`lock user ${user}`)).begin();
    }
  }

  /** No client begins anything new. */
  stop(): void {
    this.isStopped = true;
  }

  /** Whether every client has its answer, or has given up. */
  get isIdle(): boolean {
    return this.busyCount === 0;
  }

  /** One write, for the end of a run; `settle` hears whether it was acknowledged. */
  write(node: SimNode, settle: (isDone: boolean) => void): void {
    const { requests } = this;
    const command = requests.put(requests.pickKey());
    this.perform(0, node, { kind: 'command', command }, (outcome) => settle(outcome.kind === 'done'));
  }

  /** Asks a node for a lease; `settle` hears whether it was granted. */
  grantLease(node: SimNode, ttlMs: number, settle: (isDone: boolean) => void): void {
    const command = { kind: 'leaseGrant', ttlMs } as const;
    this.perform(0, node, { kind: 'command', command }, (outcome) => settle(outcome.kind === 'done'));
  }

  /** Asks a node for so many puts and reads at once; `settle` hears of each what became of it. */
  askForMuch(node: SimNode, count: number, settle: (request: Request, outcome: Outcome) => void): void {
    for (let number = 0; number < count; number += 1) {
      const key = this.requests.pickKey();
      const request: Request =
        number % 3 === 2
          ? { kind: 'get', key, byLease: false }
          : { kind: 'command', command: this.requests.put(key) };
      this.perform(0, node, request, (outcome) => settle(request, outcome));
    }
  }

  /** Reads every key once on each of these nodes; `settle` hears when all are read, and whether all were. */
  readAll(nodes: readonly SimNode[], settle: (isDone: boolean) => void): void {
    const reads = nodes.flatMap((node) => this.requests.keys.map((key) => ({ node, key })));
    let left = reads.length;
    let isDone = true;
    for (const { node, key } of reads) {
      this.perform(0, node, { kind: 'get', key, byLease: false }, (outcome) => {
        isDone &&= outcome.kind === 'read';
        left -= 1;
        if (left === 0) settle(isDone);
      });
    }
  }

  /** Asks some node to do this; `settled` hears what became of it, unless clients have stopped before. */
  askSomebody(client: number, command: ClientCommand, settled: (outcome: Outcome) => void): void {
    if (this.isStopped) return;
    const node = this.pickNode();
    if (node === undefined) this.later(() => this.askSomebody(client, command, settled));
    else this.perform(client, node, { kind: 'command', command }, settled);
  }

  /** Does something after a while, unless clients have stopped. */
  later(task: () => void, delayMs = this.thinkMs()): void {
    this.cluster.scheduler.after(delayMs, null, () => {
      if (!this.isStopped) task();
    });
  }

  /** Reads, one soon after the other, of a leader that is cut off and may not know it: whatever it shows is to be fresh. */
  private visitLonelyLeader(): void {
    this.later(
      () => {
        const { lonelyLeader } = this.cluster;
        if (lonelyLeader !== null && lonelyLeader.server !== null) {
          const key = this.requests.pickKey();
          // What it takes now, and the others do not, is overwritten when it hears them again.
          const request: Request = this.random.chance(0.05)
            ? { kind: 'command', command: this.requests.put(key) }
            : { kind: 'get', key, byLease: this.random.chance(0.5) };
          this.perform(0, lonelyLeader, request, () => {});
        }
        this.visitLonelyLeader();
      },
      this.random.between(0, VISIT_MS_MAX),
    );
  }

  private thinkMs(): number {
    return this.random.between(0, this.cluster.settings.thinkMsMax);
  }

  private pause(client: number, patience = 1): void {
    this.later(() => this.act(client), patience * this.thinkMs());
  }

  private act(client: number): void {
    const node = this.pickNode();
    if (node === undefined) {
      this.pause(client);
      return;
    }
    if (this.random.chance(0.08)) {
      this.pastReader.read(node, this.requests.pickKey(), this.requests.pickPrefix());
      this.pause(client);
    } else {
      const other = this.random.chance(HASTY_RATE) ? this.pickNode() : undefined;
      if (other !== undefined) this.perform(client, other, this.requests.draw(), () => {});
      this.perform(client, node, this.requests.draw(), ({ kind }) =>
        this.pause(client, kind === 'refused' ? REFUSED_PATIENCE : 1),
      );
    }
  }

  /** Half of the requests go where they are served at once. */
  pickNode(): SimNode | undefined {
    const { leader, serving } = this.cluster;
    return leader !== undefined && this.random.chance(0.5) ? leader : this.random.pick(serving);
  }

  /** Asks for something; what can be repeated, as often as it takes. */
  private perform(
    client: number,
    node: SimNode,
    request: Request,
    settled: (outcome: Outcome) => void,
  ): void {
    const operation = this.history.invoke(client, request);
    const acknowledgedIndex = this.cluster.checkers.acknowledged.highestIndex;
    const { leaseTime } = this.cluster.checkers;
    const renewal = request.kind === 'command' ? leaseTime.asks(request.command) : null;
    const isRepeatable = request.kind === 'command' && request.command.idempotency !== undefined;
    const { counterOrder } = this;
    const countedBefore = counterOrder.highest;
    if (request.kind === 'command') counterOrder.begins(request.command);
    let attempts = 0;
    let isUnknown = false;
    const attempt = (at: SimNode) => {
      attempts += 1;
      this.attempt({ operation, node: at, acknowledgedIndex }, (outcome) => {
        isUnknown ||= outcome.kind === 'unknown';
        const isOpen = outcome.kind === 'unknown' || outcome.kind === 'refused';
        const next =
          isOpen && isRepeatable && attempts < ATTEMPTS_MAX && !this.isStopped ? this.pickNode() : undefined;
        if (next !== undefined) {
          this.busyCount += 1;
          this.cluster.scheduler.after(REFUSED_PATIENCE * this.thinkMs(), null, () => {
            this.busyCount -= 1;
            attempt(next);
          });
          return;
        }
        this.settle(operation, isOpen && isUnknown ? { kind: 'unknown' } : outcome);
        if (outcome.kind === 'done') {
          const { result } = outcome;
          this.cluster.check(() => counterOrder.answered(result, countedBefore));
        }
        if (outcome.kind === 'done' && renewal !== null) leaseTime.renewed(outcome.result, renewal);
        settled(operation.outcome);
        if (outcome.kind === 'done' && isRepeatable && this.random.chance(REPEAT_RATE))
          this.repeat(operation);
      });
    };
    attempt(node);
  }

  /** Asks once more for what was answered: the answer must be the same. */
  private repeat(operation: Operation): void {
    this.later(() => {
      const node = this.pickNode();
      if (node === undefined) return;
      this.attempt({ operation, node, acknowledgedIndex: 0 }, () => {});
    });
  }

  private settle(operation: Operation, outcome: Outcome): void {
    this.history.settle(operation, outcome);
    this.requests.learn(operation);
    if (outcome.kind !== 'done' || operation.request.kind !== 'command') return;
    const { command } = operation.request;
    this.cluster.check(() => this.cluster.checkers.acknowledged.acknowledged(command, outcome.result));
  }

  private attempt(attempt: Attempt, settled: (outcome: Outcome) => void): void {
    const { scheduler } = this.cluster;
    const { operation, node } = attempt;
    const { request, client } = operation;
    this.note(node, operation, () => `asks ${node.id}: ${describeRequest(request)}`);
    this.busyCount += 1;
    let isSettled = false;
    const settle = (outcome: Outcome) => {
      if (isSettled) return;
      isSettled = true;
      timer.cancel();
      this.busyCount -= 1;
      this.check(attempt, outcome);
      this.note(node, operation, () => `is told: ${describeOutcome(outcome)} (${describeRequest(request)})`);
      settled(outcome);
    };
    const timeoutMs = this.random.pick(REQUEST_TIMEOUTS_MS) ?? 1500;
    const { process } = node;
    // A paused process hears of the request when it wakes up.
    const pauseCount = process?.isPaused === true ? null : process?.pauseCount;
    const timer = scheduler.after(timeoutMs + ANSWER_MS_MAX, null, () => {
      settle({ kind: 'unknown' });
      // Whatever a node waits for, and whether that ever comes: it answers in the time that it was given.
      const wasAwake = node.process === process && process?.pauseCount === pauseCount && !process?.isPaused;
      if (!wasAwake) return;
      const detail = `${node.id} gave client ${client} ${timeoutMs} ms, and no answer: ${describeRequest(request)}`;
      this.cluster.fail(new Violation('Progress', detail));
    });
    this.cluster.ask(
      node,
      (server) => serve(server, request, timeoutMs),
      (answer) => {
        // An answer that comes after the client has gone says nothing to anybody.
        settle('value' in answer ? answer.value : outcomeOf(request, answer.error));
      },
      isRead(request),
    );
  }

  /** What one answer must be, whatever the others were. */
  private check({ operation: { request }, node, acknowledgedIndex }: Attempt, outcome: Outcome): void {
    const { cluster } = this;
    const { madeOnce, shownStates } = cluster.checkers;
    if (outcome.kind === 'read' && request.kind === 'get') {
      const appliedIndex = present(
        outcome.appliedIndex,
        'Within the simulator it is known what a read was answered from.',
      );
      cluster.check(() => this.freshReads.read(node.id, acknowledgedIndex, appliedIndex));
      cluster.check(() => shownStates.newest(node.id, request.key, outcome.item, appliedIndex));
    } else if (outcome.kind === 'done' && outcome.appliedIndex !== undefined) {
      const { result, appliedIndex } = outcome;
      const reading = present(readingOf(request), 'Only reads tell from which index they were answered.');
      cluster.check(() => this.freshReads.read(node.id, acknowledgedIndex, appliedIndex));
      cluster.check(() => shownStates.together(node.id, reading, result));
    } else if (outcome.kind === 'done' && request.kind === 'command') {
      const { idempotency } = request.command;
      if (idempotency !== undefined && !isMismatch(outcome.result))
        cluster.check(() => madeOnce.answered(idempotency.key, outcome.result));
    }
  }

  private note(node: SimNode, { client, invokedAt }: Operation, text: () => string): void {
    this.cluster.trace.note(
      TraceKind.client,
      0,
      client * 64 + node.id.length,
      invokedAt,
      () => `client ${client} ${text()}`,
    );
  }
}

async function serve({ service, store }: Server, request: Request, timeoutMs: number): Promise<Outcome> {
  const reading = readingOf(request);
  if (reading !== undefined) {
    await service.confirmRead(timeoutMs);
    const { appliedIndex } = store;
    return { kind: 'done', result: await service.readTxn(reading), appliedIndex };
  }
  if (request.kind === 'command')
    return { kind: 'done', result: await service.write(request.command, timeoutMs) };
  if (!request.byLease || !service.readsByLease()) await service.confirmRead(timeoutMs);
  return { kind: 'read', item: service.get(request.key, undefined), appliedIndex: store.appliedIndex };
}

function isRead(request: Request): boolean {
  return request.kind === 'get' || readingOf(request) !== undefined;
}

function outcomeOf(request: Request, error: unknown): Outcome {
  // A read changes nothing, whatever became of it.
  if (isRead(request)) return { kind: 'refused' };
  if (error instanceof RaftkvError && REFUSALS.has(error.code)) return { kind: 'refused' };
  return { kind: 'unknown' };
}

function isMismatch({ kind }: CommandResult): boolean {
  return kind === 'idempotencyMismatch';
}
