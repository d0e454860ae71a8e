import { present } from '../assert.js';
import { RaftkvError } from '../errors.js';
import type { Item, Revision } from '../kv/types.js';
import type { NodeId } from '../raft/types.js';
import { makeValue, nameOfValue, textOf } from './bytes.js';
import type { Acknowledged } from './checkers/acknowledged.js';
import { Violation } from './checkers/checker.js';
import { FreshReads } from './checkers/fresh-reads.js';
import { StaleReads } from './checkers/stale-reads.js';
import type { Cluster } from './cluster.js';
import { type ClientCommand, History, type Operation, type Outcome, type Request } from './history.js';
import type { Prng } from './prng.js';
import type { Server, SimNode } from './sim-node.js';
import { TraceKind } from './trace.js';

/** How long clients let a node try, and how much longer they wait for the answer. */
const REQUEST_TIMEOUTS_MS = [200, 1500, 1500, 3000];
const ANSWER_MS_MAX = 500;
/** A client that asked has its answer, or has given up, after so long. */
export const CLIENT_PATIENCE_MS = Math.max(...REQUEST_TIMEOUTS_MS) + ANSWER_MS_MAX;
/** Who was refused comes back so many times later: most often there is no leader. */
const REFUSED_PATIENCE = 4;
/** The share of values that are larger than their name. */
const LARGE_RATE = 0.15;

/** Errors after which it is certain that nothing was changed. */
const REFUSALS: ReadonlySet<string> = new Set(['no_leader', 'overloaded', 'shutting_down', 'not_ready']);

/** Clients, each of which asks one thing after the other of whatever node it likes. */
export class Workload {
  readonly history = new History();
  private readonly keys: readonly Uint8Array[];
  private readonly staleReads: StaleReads;
  private readonly freshReads = new FreshReads();
  private readonly seenRevisions = new Map<string, Revision>();
  private valueCount = 0;
  private isStopped = false;
  private isAnswerExpected = false;
  private busyCount = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly random: Prng,
    private readonly acknowledged: Acknowledged,
  ) {
    const { clientCount, keyCount } = cluster.settings;
    this.keys = Array.from({ length: keyCount }, (_, at) => Buffer.from(`key-${at}`));
    this.staleReads = new StaleReads(cluster.checkers.stateMachineSafety);
    for (let client = 1; client <= clientCount; client += 1) this.pause(client);
  }

  /** No client begins anything new. */
  stop(): void {
    this.isStopped = true;
  }

  /** All faults have ended: whoever asks from now on is answered by the node within the time that it was given. */
  expectAnswers(): void {
    this.isAnswerExpected = true;
  }

  /** Whether every client has its answer, or has given up. */
  get isIdle(): boolean {
    return this.busyCount === 0;
  }

  /** One write, for the end of a run; `settle` hears whether it was acknowledged. */
  write(node: SimNode, settle: (isDone: boolean) => void): void {
    const key = this.pickKey();
    this.perform(0, node, { kind: 'command', command: this.put(key, {}) }, (outcome) =>
      settle(outcome.kind === 'done'),
    );
  }

  /** Reads every key once on each of these nodes; `settle` hears when all are read, and whether all were. */
  readAll(nodes: readonly SimNode[], settle: (isDone: boolean) => void): void {
    const reads = nodes.flatMap((node) => this.keys.map((key) => ({ node, key })));
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

  private pause(client: number, patience = 1): void {
    const { scheduler, settings } = this.cluster;
    scheduler.after(patience * this.random.between(0, settings.thinkMsMax), null, () => {
      if (!this.isStopped) this.act(client);
    });
  }

  private act(client: number): void {
    const node = this.pickNode();
    if (node === undefined) {
      this.pause(client);
      return;
    }
    if (this.random.chance(0.08)) {
      this.readStale(node);
      this.pause(client);
    } else {
      this.perform(client, node, this.draw(), ({ kind }) =>
        this.pause(client, kind === 'refused' ? REFUSED_PATIENCE : 1),
      );
    }
  }

  /** Half of the requests go where they are served at once. */
  private pickNode(): SimNode | undefined {
    const { leader, serving } = this.cluster;
    return leader !== undefined && this.random.chance(0.5) ? leader : this.random.pick(serving);
  }

  private pickKey(): Uint8Array {
    return this.keys[this.random.integer(0, this.keys.length - 1)] ?? new Uint8Array(1);
  }

  private draw(): Request {
    const key = this.pickKey();
    const seen = this.seenRevisions.get(textOf(key));
    const dice = this.random.real();
    if (dice < 0.4) return { kind: 'get', key, byLease: dice < 0.2 };
    const command = (): ClientCommand => {
      if (dice < 0.7) return this.put(key, {});
      if (dice < 0.8) return this.put(key, seen === undefined ? { ifAbsent: true } : { ifRevision: seen });
      if (dice < 0.87) return this.put(key, { ifAbsent: true });
      if (dice < 0.95) return { kind: 'delete', key };
      if (dice < 0.98) return { kind: 'delete', key, ...(seen === undefined ? {} : { ifRevision: seen }) };
      return { kind: 'deletePrefix', prefix: Buffer.from('key-') };
    };
    return { kind: 'command', command: command() };
  }

  private put(key: Uint8Array, condition: { ifRevision?: Revision; ifAbsent?: boolean }): ClientCommand {
    this.valueCount += 1;
    const { valueBytesMax } = this.cluster.settings;
    const padding = this.random.chance(LARGE_RATE) ? this.random.integer(1, valueBytesMax) : 0;
    const value = makeValue(this.valueCount, padding);
    return { kind: 'put', key, value, contentType: '', ...condition };
  }

  private perform(
    client: number,
    node: SimNode,
    request: Request,
    settled: (outcome: Outcome) => void,
  ): void {
    const { scheduler } = this.cluster;
    const operation = this.history.invoke(client, request);
    this.note(client, node.id, operation, () => `asks ${node.id}: ${describe(request)}`);
    this.busyCount += 1;
    const acknowledgedIndex = this.acknowledged.highestIndex;
    let isSettled = false;
    const settle = (outcome: Outcome) => {
      if (isSettled) return;
      isSettled = true;
      timer.cancel();
      this.busyCount -= 1;
      this.history.settle(operation, outcome);
      this.learn(operation);
      if (outcome.kind === 'read') {
        const index = present(
          outcome.appliedIndex,
          'Within the simulator it is known what a read was answered from.',
        );
        this.cluster.check(() => this.freshReads.read(node.id, acknowledgedIndex, index));
      }
      this.note(
        client,
        node.id,
        operation,
        () => `is told: ${describeOutcome(outcome)} (${describe(request)})`,
      );
      settled(outcome);
    };
    const timeoutMs = this.random.pick(REQUEST_TIMEOUTS_MS) ?? 1500;
    const { isAnswerExpected } = this;
    const timer = scheduler.after(timeoutMs + ANSWER_MS_MAX, null, () => {
      settle({ kind: 'unknown' });
      if (!isAnswerExpected) return;
      const detail = `${node.id} gave client ${client} ${timeoutMs} ms, and no answer after all faults: ${describe(request)}`;
      this.cluster.fail(new Violation('Progress', detail));
    });
    this.cluster.ask(
      node,
      (server) => serve(server, request, timeoutMs),
      (answer) => {
        // An answer that comes after the client has gone says nothing to anybody.
        settle('value' in answer ? answer.value : outcomeOf(request, answer.error));
      },
    );
  }

  /** What clients remember, to make conditions from, and what the checkers must hear. */
  private learn({ request, outcome }: Operation): void {
    if (outcome.kind === 'read' && request.kind === 'get') {
      if (outcome.item) this.seenRevisions.set(textOf(request.key), outcome.item.modRevision);
    } else if (outcome.kind === 'done' && request.kind === 'command') {
      const { command } = request;
      const { result } = outcome;
      if (result.kind === 'put' && command.kind === 'put')
        this.seenRevisions.set(textOf(command.key), result.revision);
      this.cluster.check(() => this.acknowledged.acknowledged(command, result));
    }
  }

  /** A read of what the node has: from the past, but never from another one. */
  private readStale(node: SimNode): void {
    const key = this.pickKey();
    this.cluster.ask(
      node,
      ({ store }) => ({ item: store.get(key), appliedIndex: store.appliedIndex }),
      (answer) => {
        if (!('value' in answer)) return;
        const { item, appliedIndex } = answer.value;
        this.cluster.check(() => this.staleReads.read(node.id, key, item, appliedIndex));
      },
    );
  }

  private note(client: number, node: NodeId, operation: Operation, text: () => string): void {
    this.cluster.trace.note(
      TraceKind.client,
      0,
      client * 64 + node.length,
      operation.invokedAt,
      () => `client ${client} ${text()}`,
    );
  }
}

async function serve({ service, store }: Server, request: Request, timeoutMs: number): Promise<Outcome> {
  if (request.kind === 'command')
    return { kind: 'done', result: await service.write(request.command, timeoutMs) };
  if (!request.byLease || !service.readsByLease()) await service.confirmRead(timeoutMs);
  return { kind: 'read', item: service.get(request.key, undefined), appliedIndex: store.appliedIndex };
}

function outcomeOf(request: Request, error: unknown): Outcome {
  // A read changes nothing, whatever became of it.
  if (request.kind === 'get') return { kind: 'refused' };
  if (error instanceof RaftkvError && REFUSALS.has(error.code)) return { kind: 'refused' };
  return { kind: 'unknown' };
}

function describe(request: Request): string {
  if (request.kind === 'get') return `get ${textOf(request.key)}${request.byLease ? ' by the lease' : ''}`;
  const { command } = request;
  if (command.kind === 'deletePrefix') return `delete ${textOf(command.prefix)}*`;
  const condition =
    command.ifAbsent === true
      ? ' if absent'
      : command.ifRevision === undefined
        ? ''
        : ` if at ${command.ifRevision}`;
  const what = command.kind === 'put' ? ` = ${nameOfValue(command.value)}` : '';
  return `${command.kind} ${textOf(command.key)}${what}${condition}`;
}

function describeOutcome(outcome: Outcome): string {
  if (outcome.kind === 'done') return JSON.stringify(outcome.result);
  if (outcome.kind !== 'read') return outcome.kind;
  return describeItem(outcome.item);
}

function describeItem(item: Item | undefined): string {
  return item === undefined ? 'absent' : `${nameOfValue(item.value)} at ${item.modRevision}`;
}
