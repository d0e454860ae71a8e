import {
  type Client,
  type ClientDuplexStream,
  type ClientUnaryCall,
  type Metadata,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { systemClock, type Timer } from '../clock.js';
import type { Message } from '../raft/types.js';
import type { Identity } from './contract.js';
import { Dial, type Target } from './dial.js';
import { type Introduction, introduce, readIntroduction } from './introduction.js';
import { OPEN_TIMEOUT_MS, REFUSED_DELAY_MS, REOPEN_DELAY_MS } from './limits.js';
import type { LocalNode } from './local-node.js';
import { Outgoing } from './outgoing.js';
import { shownDetail } from './validation.js';
import { type Method, untouched } from './wire.js';

/** Makes one call with one answer. `done` also gets the introduction with which the answering side opened. */
export function callOnce(
  client: Client,
  method: Method,
  request: Buffer,
  metadata: Metadata,
  timeoutMs: number,
  done: (error: ServiceError | null, answer: Buffer | undefined, from: Introduction | undefined) => void,
): ClientUnaryCall {
  let introduction: Introduction | undefined;
  const call = client.makeUnaryRequest(
    method.path,
    untouched,
    untouched,
    request,
    metadata,
    { deadline: Date.now() + timeoutMs },
    (error, answer?: Buffer) => done(error, answer, introduction),
  );
  call.on('metadata', (answered: Metadata) => {
    introduction = readIntroduction(answered);
  });
  return call;
}

/** What a connection's owner does with it. */
export interface ConnectionEvents {
  /** Why this side does not talk to who answered, though it is the right node; '' for nothing. */
  objectionTo(introduction: Introduction): string;
  /** Reads what came on a stream whose other end proved to be this incarnation. Throws an Error if malformed. */
  decode(bytes: Buffer, fromIncarnation: string): readonly Message[];
  /** @param isProven Whether the peer proved that it knows the cluster secret. */
  deliver(message: Message, isProven: boolean): void;
  /** The stream is open, and this is what the peer said about itself. */
  opened(introduction: Introduction): void;
  /** The stream was open and is not any more, for this reason: what was written may not have arrived. */
  broken(reason: string): void;
  /** An attempt was refused for another reason than the one before it. */
  refused(reason: string): void;
}

/** One stream from its opening to its end. */
interface Attempt {
  readonly call: ClientDuplexStream<Buffer, Buffer>;
  readonly timeout: Timer;
  /** Who the peer proved to be; undefined while the stream is not open. */
  provenPeer: Identity | undefined;
  readonly outgoing: Outgoing;
  /** What this side holds against the peer, when it was this side that ended the stream. */
  objection: string;
}

/**
 * One connection to one peer, with one stream that is kept open on it: opened at once, and again after each break.
 *
 * Invariants: there is at most one attempt, and only its events count, so nothing arrives from a stream that was
 * replaced. While there is no attempt and the connection is not closed, a timer waits to make one.
 */
export class Connection {
  readonly #method: Method;
  readonly #local: LocalNode;
  readonly #events: ConnectionEvents;
  #target: Target;
  #dial: Dial | undefined;
  #attempt: Attempt | undefined;
  #reopening: Timer | undefined;
  #refusal = '';

  constructor(method: Method, target: Target, local: LocalNode, events: ConnectionEvents) {
    this.#method = method;
    this.#target = target;
    this.#local = local;
    this.#events = events;
    this.#open();
  }

  get isOpen(): boolean {
    return this.provenPeer !== undefined;
  }

  /** Who answers on the stream that is open; undefined while none is. */
  get provenPeer(): Identity | undefined {
    return this.#attempt?.provenPeer;
  }

  /** Why the peer refused the last attempt, '' when it did not. */
  get refusal(): string {
    return this.#refusal;
  }

  /** The client to make single calls with while the stream is open; undefined otherwise. */
  get client(): Client | undefined {
    return this.isOpen ? this.#dial?.client : undefined;
  }

  /** What is wrong with a node that answered a single call, '' for nothing. */
  objectionTo(introduction: Introduction | undefined): string {
    return (
      objectionTo(introduction, this.#target, this.#dial) ||
      (introduction ? this.#events.objectionTo(introduction) : '')
    );
  }

  /** Whether the peer proved that it knows the cluster secret. */
  get isProven(): boolean {
    return this.#dial?.proven !== undefined;
  }

  /** Goes on with another address or incarnation, over a new stream if the present one does not fit. */
  retarget(target: Target): void {
    const proven = this.#attempt?.provenPeer?.incarnation;
    const sameAddress = target.address === this.#target.address;
    const fits = target.incarnation === (proven ?? this.#target.incarnation) || target.incarnation === '';
    this.#target = target;
    if (sameAddress && fits) return;
    this.#disconnect();
    this.#open();
  }

  /** Writes to the stream. Drops the bytes when it is not open. */
  write(bytes: Buffer): void {
    const attempt = this.#attempt;
    if (attempt?.provenPeer === undefined) return;
    if (!attempt.outgoing.push(bytes)) attempt.call.cancel();
  }

  close(): void {
    this.#disconnect();
  }

  #open(): void {
    this.#reopening = undefined;
    const me = this.#local.identity();
    // Nobody serves a node that cannot name its cluster.
    if (me.cluster === '') {
      this.#reopenAfter(REOPEN_DELAY_MS);
      return;
    }
    this.#dial ??= new Dial(this.#target, this.#local, () => this.#attempt?.call.cancel());
    const metadata = introduce(me, this.#target);
    // The call waits in the client while that connects, so the stream is open as soon as there is a connection.
    metadata.setOptions({ waitForReady: true });
    const call = this.#dial.client.makeBidiStreamRequest(this.#method.path, untouched, untouched, metadata);
    const attempt: Attempt = {
      call,
      timeout: systemClock.after(OPEN_TIMEOUT_MS, () => this.#giveUpConnecting(attempt)),
      provenPeer: undefined,
      outgoing: new Outgoing((bytes, done) => call.write(bytes, done)),
      objection: '',
    };
    this.#attempt = attempt;
    call.on('metadata', (answered: Metadata) => this.#introduced(attempt, readIntroduction(answered)));
    call.on('data', (bytes: Buffer) => this.#received(attempt, bytes));
    call.on('status', (ended: StatusObject) => this.#ended(attempt, ended));
    // The status says the same and comes in every case; without a listener the error would end the process.
    call.on('error', () => {});
  }

  #introduced(attempt: Attempt, introduction: Introduction | undefined): void {
    if (attempt !== this.#attempt) return;
    attempt.timeout.cancel();
    const objection = this.objectionTo(introduction);
    if (introduction === undefined || objection !== '') {
      attempt.objection = objection;
      attempt.call.cancel();
      return;
    }
    this.#refusal = '';
    attempt.provenPeer = introduction.sender;
    this.#events.opened(introduction);
  }

  #received(attempt: Attempt, bytes: Buffer): void {
    if (attempt !== this.#attempt || attempt.provenPeer === undefined) return;
    let messages: readonly Message[];
    try {
      messages = this.#events.decode(bytes, attempt.provenPeer.incarnation);
    } catch {
      attempt.call.cancel();
      return;
    }
    const { isProven } = this;
    for (const message of messages) this.#events.deliver(message, isProven);
  }

  #ended(attempt: Attempt, ended: StatusObject): void {
    if (attempt !== this.#attempt) return;
    this.#attempt = undefined;
    attempt.timeout.cancel();
    const refused = ended.code === status.FAILED_PRECONDITION || ended.code === status.UNIMPLEMENTED;
    const objection = attempt.objection || this.#dial?.objection || '';
    const before = this.#refusal;
    this.#refusal = objection !== '' ? objection : refused ? shownDetail(ended.details) : '';
    this.#reopenAfter(this.#refusal !== '' ? REFUSED_DELAY_MS : REOPEN_DELAY_MS);
    if (this.#refusal !== '' && this.#refusal !== before) this.#events.refused(this.#refusal);
    if (attempt.provenPeer !== undefined) this.#events.broken(this.#refusal || shownDetail(ended.details));
  }

  #giveUpConnecting(attempt: Attempt): void {
    if (attempt !== this.#attempt) return;
    this.#disconnect();
    this.#open();
  }

  #reopenAfter(delayMs: number): void {
    this.#reopening = systemClock.after(delayMs, () => this.#open());
  }

  #disconnect(): void {
    const attempt = this.#attempt;
    this.#reopening?.cancel();
    this.#reopening = undefined;
    this.#attempt = undefined;
    this.#refusal = '';
    attempt?.timeout.cancel();
    attempt?.call.cancel();
    this.#dial?.close();
    this.#dial = undefined;
    if (attempt?.provenPeer !== undefined) this.#events.broken('This node closed it.');
  }
}

/** What is wrong with a node that answered, '' for nothing. */
export function objectionTo(
  introduction: Introduction | undefined,
  target: Target,
  dial: Dial | undefined,
): string {
  const there = `The node at ${target.address}`;
  if (introduction === undefined) return `Whoever answers at ${target.address} is not a raftkv node.`;
  const { id, incarnation } = introduction.sender;
  if (id !== target.id) return `${there} is ${id}, not ${target.id}.`;
  if (target.incarnation !== '' && incarnation !== target.incarnation) {
    return `${there} is incarnation ${incarnation} of ${id}, not ${target.incarnation}.`;
  }
  const proven = dial?.proven;
  if (proven !== undefined && (proven.id !== id || proven.incarnation !== incarnation)) {
    return `${there} proved to be another node than the one as which it introduced itself.`;
  }
  return '';
}
