import { RaftkvError, StorageDamaged } from '../errors.js';
import { describeMessage } from '../raft/describe-message.js';
import type { Message, NodeId } from '../raft/types.js';
import type {
  ForwardRequest,
  Hello,
  Peer,
  PeerConnection,
  PeerReport,
  Receiver,
  SnapshotAnswer,
  SnapshotHeader,
  Transport,
} from '../transport/contract.js';
import { Links } from './links.js';
import { messageNumbers } from './message-numbers.js';
import type { Prng } from './prng.js';
import { SnapshotCall } from './snapshot-call.js';
import { type Trace, TraceKind } from './trace.js';
import type { Scheduler } from './virtual-clock.js';
import type { Breakable, Endpoint, Weather, Wires } from './wires.js';

/** A connection to a node that is gone is refused at once; one into a partition breaks only after a while. */
const REFUSED_MS_MAX = 10;
const BROKEN_MS_MIN = 100;
const BROKEN_MS_MAX = 1000;
/** A loss comes from a broken connection, which the sender hears of, or is silent. */
const LOSS_NOTICED_RATE = 0.5;

const SNAPSHOT_LATE_MS_MAX = 1500;

/** All the wires: messages, calls and snapshots between processes, late, twice, in another order or not at all. */
export class Network implements Wires {
  readonly links = new Links();
  weather: Weather;
  readonly counts = { messages: 0, lost: 0, snapshots: 0, snapshotsArrived: 0 };
  private readonly endpoints = new Map<NodeId, Endpoint>();
  private readonly calls = new Set<Breakable>();
  /** How much later than others' their messages arrive. */
  private readonly lateness = new Map<NodeId, number>();

  constructor(
    readonly scheduler: Scheduler,
    readonly random: Prng,
    readonly trace: Trace,
    readonly calm: Weather,
    /** How long a part of a snapshot waits at most before it leaves. */
    public snapshotPartMsMax: number,
    /** How often a snapshot's last part is late and its sender does not wait for it. */
    public snapshotResetRate: number,
    /** Sees every message when it leaves, before anything can happen to it. */
    readonly onSend: (from: NodeId, message: Message) => void,
  ) {
    this.weather = calm;
    this.links.whenCut(() => this.breakCalls());
  }

  /** The transport of a process that has just started. */
  connect(endpoint: Omit<Endpoint, 'receiver' | 'askers' | 'breaking'>): Transport {
    const connected: Endpoint = { ...endpoint, receiver: null, askers: new Map(), breaking: new Set() };
    this.endpoints.set(endpoint.id, connected);
    endpoint.process.whenEnded(() => this.breakCalls());
    return new SimTransport(this, connected);
  }

  /** The live process of that name, or undefined. */
  endpoint(id: NodeId): Endpoint | undefined {
    const endpoint = this.endpoints.get(id);
    return endpoint?.receiver && !endpoint.process.hasEnded ? endpoint : undefined;
  }

  endpointAt(address: string): Endpoint | undefined {
    for (const { id, address: known } of this.endpoints.values()) {
      if (known === address) return this.endpoint(id);
    }
    return undefined;
  }

  latencyMs(): number {
    const { latencyMsMin, latencyMsMax, lateRate, lateMsMax } = this.weather;
    const late = lateRate > 0 && this.random.chance(lateRate) ? this.random.between(0, lateMsMax) : 0;
    return late + this.random.between(latencyMsMin, latencyMsMax);
  }

  /** Whether something on its way between the two is lost now. */
  loses(from: NodeId, to: NodeId): boolean {
    return (
      this.links.isCut(from, to) || (this.weather.lossRate > 0 && this.random.chance(this.weather.lossRate))
    );
  }

  carry(from: Endpoint, target: Endpoint | undefined, message: Message): void {
    this.counts.messages += 1;
    const [a, b] = messageNumbers(message);
    this.trace.note(TraceKind.send, from.number, a, b, () => `→ ${message.to}  ${describeMessage(message)}`);
    if (this.loses(from.id, message.to)) {
      this.lose(from, message);
      return;
    }
    const { duplicateRate } = this.weather;
    const copies = duplicateRate > 0 && this.random.chance(duplicateRate) ? 2 : 1;
    if (target === undefined || target.process.hasEnded) {
      this.breakConnection(from, message.to, this.random.between(0, REFUSED_MS_MAX));
      return;
    }
    for (let copy = 0; copy < copies; copy += 1) {
      const delayMs = this.latencyMs() + (this.lateness.get(from.id) ?? 0);
      this.scheduler.after(delayMs, target.process, () => {
        if (this.links.isCut(from.id, message.to)) this.lose(from, message);
        else this.deliver(from, target, message);
      });
    }
  }

  /** From now on what this node says arrives so much later; 0 for no later than usual. */
  delay(from: NodeId, delayMs: number): void {
    this.lateness.set(from, delayMs);
  }

  snapshotPartMs(): number {
    return (
      this.latencyMs() + (this.snapshotPartMsMax > 0 ? this.random.between(0, this.snapshotPartMsMax) : 0)
    );
  }

  snapshotResetMs(): number | null {
    const { random, snapshotResetRate } = this;
    return snapshotResetRate > 0 && random.chance(snapshotResetRate)
      ? random.between(0, SNAPSHOT_LATE_MS_MAX)
      : null;
  }

  addCall(call: Breakable): void {
    this.counts.snapshots += 1;
    this.calls.add(call);
  }

  removeCall(call: Breakable): void {
    this.calls.delete(call);
  }

  private deliver(from: Endpoint, target: Endpoint, message: Message): void {
    const [a, b] = messageNumbers(message);
    this.trace.note(
      TraceKind.deliver,
      target.number,
      a,
      b,
      () => `← ${message.from}  ${describeMessage(message)}`,
    );
    if (!isAnswer(message)) target.askers.set(from.id, from);
    target.receiver?.onMessage(message, true);
  }

  private lose(from: Endpoint, message: Message): void {
    this.counts.lost += 1;
    const isCut = this.links.isCut(from.id, message.to);
    this.trace.note(
      TraceKind.lost,
      from.number,
      isCut ? 1 : 0,
      0,
      () => `✗ ${message.to}  ${message.type} is lost`,
    );
    if (isCut) this.breakConnection(from, message.to, this.random.between(BROKEN_MS_MIN, BROKEN_MS_MAX));
    else if (this.random.chance(LOSS_NOTICED_RATE))
      this.breakConnection(from, message.to, this.random.between(0, REFUSED_MS_MAX));
  }

  /** Tells the sender, some time later, that its connection broke; once, however many messages were lost with it. */
  private breakConnection(from: Endpoint, to: NodeId, delayMs: number): void {
    if (from.breaking.has(to)) return;
    from.breaking.add(to);
    this.scheduler.after(delayMs, from.process, () => {
      from.breaking.delete(to);
      from.receiver?.onUnreachable(to);
    });
  }

  private breakCalls(): void {
    for (const call of this.calls) call.breakIfCut();
  }
}

/** One process's side of the network. Everything it does stops with its process. */
class SimTransport implements Transport {
  private peers = new Map<NodeId, Peer>();

  constructor(
    private readonly network: Network,
    private readonly self: Endpoint,
  ) {}

  async start(receiver: Receiver): Promise<void> {
    this.self.receiver = receiver;
  }

  setPeers(peers: readonly Peer[]): void {
    this.peers = new Map(peers.map((peer) => [peer.id, peer]));
  }

  send(message: Message): void {
    if (!this.self.process.step()) return;
    this.network.onSend(this.self.id, message);
    if (isAnswer(message)) {
      const asker = this.self.askers.get(message.to);
      if (asker !== undefined) this.network.carry(this.self, asker, message);
      return;
    }
    const peer = this.peers.get(message.to);
    if (peer === undefined) return;
    const target = this.network.endpoint(message.to);
    const isKnown = peer.incarnation === '' || target?.identity().incarnation === peer.incarnation;
    this.network.carry(this.self, isKnown ? target : undefined, message);
  }

  sendSnapshot(
    to: NodeId,
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    abort: AbortSignal,
  ): Promise<SnapshotAnswer> {
    const call = new SnapshotCall(this.network, this.self, to, header, abort);
    return call.run(chunks);
  }

  forward(to: NodeId, request: ForwardRequest, timeoutMs: number, signal?: AbortSignal): Promise<Uint8Array> {
    const target = this.network.endpoint(to);
    if (target === undefined || !this.peers.has(to)) {
      const detail = `${to} does not answer. Nothing was changed; try again shortly.`;
      return this.afterLatency(timeoutMs, () => Promise.reject(new RaftkvError('no_leader', detail)));
    }
    const lost = () => new RaftkvError('outcome_unknown', `The answer of ${to} was lost.`);
    const abandoned = new AbortController();
    const answer = this.call(target, request.operation, timeoutMs, lost, async (receiver) =>
      receiver.onForward(request, this.self.id, timeoutMs, abandoned.signal),
    );
    if (signal === undefined) return answer;
    return new Promise((resolve, reject) => {
      const abandon = () => {
        // The peer hears of it at once, which no network does; what depends on that is tested on the real one.
        abandoned.abort();
        reject(lost());
      };
      signal.addEventListener('abort', abandon);
      const done = () => signal.removeEventListener('abort', abandon);
      answer.finally(done).then(resolve, reject);
    });
  }

  handshake(address: string, hello: Hello, timeoutMs: number): Promise<Hello> {
    const silent = () => new RaftkvError('unavailable', `Nobody answers at ${address}.`);
    const target = this.network.endpointAt(address);
    if (target === undefined) return this.afterLatency(timeoutMs, () => Promise.reject(silent()));
    return this.call(target, 'handshake', timeoutMs, silent, async (receiver) => receiver.onHandshake(hello));
  }

  connections(): readonly PeerConnection[] {
    return [...this.peers.values()].map((peer) => {
      const { id, address } = peer;
      const report = this.reportOf(peer);
      return {
        id,
        address,
        state: report === undefined ? 'connecting' : 'connected',
        reason: '',
        clientUrl: '',
        ...(report && { report }),
      };
    });
  }

  private reportOf({ id, incarnation }: Peer): PeerReport | undefined {
    const { links } = this.network;
    if (links.isCut(this.self.id, id) || links.isCut(id, this.self.id)) return undefined;
    const identity = this.network.endpoint(id)?.identity();
    if (identity === undefined || (incarnation !== '' && incarnation !== identity.incarnation))
      return undefined;
    return { incarnation: identity.incarnation, versions: identity.versions };
  }

  async stop(): Promise<void> {
    this.self.receiver = null;
  }

  private afterLatency<Value>(timeoutMs: number, task: () => Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      const delayMs = Math.min(this.network.latencyMs(), timeoutMs);
      this.network.scheduler.after(delayMs, this.self.process, () => {
        task().then(resolve, reject);
      });
    });
  }

  /** Asks, and takes the answer back; either way may be lost, and then only the time tells. */
  private call<Value>(
    target: Endpoint,
    what: string,
    timeoutMs: number,
    lost: () => RaftkvError,
    task: (receiver: Receiver) => Promise<Value>,
  ): Promise<Value> {
    const { network, self } = this;
    const { scheduler } = network;
    const note = (text: string) =>
      network.trace.note(TraceKind.call, self.number, target.number, text.length, () => text);
    return new Promise((resolve, reject) => {
      const timer = scheduler.after(timeoutMs, self.process, () => reject(lost()));
      const answer = (settle: () => void) => {
        if (target.process.hasEnded) return;
        if (network.loses(target.id, self.id)) {
          note(`✗ ${target.id}  the answer to ${what} is lost`);
          return;
        }
        scheduler.after(network.latencyMs(), self.process, () => {
          note(`← ${target.id}  the answer to ${what}`);
          timer.cancel();
          settle();
        });
      };
      note(`→ ${target.id}  ${what}`);
      if (network.loses(self.id, target.id)) {
        note(`✗ ${target.id}  ${what} is lost`);
        return;
      }
      scheduler.after(network.latencyMs(), target.process, () => {
        if (target.receiver === null) return;
        task(target.receiver).then(
          (value) => answer(() => resolve(value)),
          (error: unknown) => answer(() => reject(asReceived(error))),
        );
      });
    });
  }
}

/** Which disk is damaged is not sent along: only the node that has it may take it for its own. */
function asReceived(error: unknown): unknown {
  return error instanceof StorageDamaged ? new RaftkvError(error.code, error.message) : error;
}

/** Answers travel on the stream or the call that brought the question, so they need no address. */
function isAnswer(message: Message): boolean {
  switch (message.type) {
    case 'requestVoteResponse':
    case 'appendEntriesResponse':
    case 'heartbeatResponse':
    case 'installSnapshotResponse':
      return true;
    default:
      return false;
  }
}
