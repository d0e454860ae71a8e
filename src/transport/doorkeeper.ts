import type { Socket } from 'node:net';
import { every, systemClock, type Timer } from '../clock.js';
import { Arrivals } from './arrivals.js';
import { largestGroup } from './crowding.js';
import {
  CALL_OVERHEAD_BYTES,
  CONTROL_FRAMES_PER_SECOND,
  GUESTS_MAX,
  NONSENSE_MAX,
  OVERHEAD_BYTES_PER_MS,
  PROOF_TIMEOUT_MS,
  SECRETS_REVIEW_MS,
  STRANGER_MS,
  STRANGERS_CALLS_MAX,
  STRANGERS_CONTROL_FRAMES_MAX,
  STRANGERS_MAX,
  STRANGERS_PER_ADDRESS_MAX,
  UNFINISHED_BYTES_MAX,
  WASTE_REVIEW_MS,
  WASTED_BYTES_MAX,
} from './limits.js';
import type { LocalNode } from './local-node.js';
import { type Party, proveAsListener } from './proof.js';
import { Preamble, ProofFailure, startsAsFrame } from './proof-frames.js';
import type { RefusalReason, Refusals } from './refusals.js';
import { UnfinishedMessages } from './unfinished-messages.js';

const NO_ADDRESS = 'an unknown address';
/** How every HTTP/2 connection begins. */
const HTTP2_START = Buffer.from('PRI ');

/** As whom a caller introduces itself. */
type Sender = Pick<Party, 'id' | 'incarnation'>;

/**
 * A connection to the peer port.
 *
 * It is a `stranger` until it has proven that it knows the cluster secret or, where that is not required, has introduced
 * itself as a node of this cluster. Then it is a `member`, or a `guest` where it introduced itself as a node that this
 * one does not know as a member. A node that starts or joins knows nobody for a while, so a guest may turn out to be a
 * member later.
 */
export class Entrant {
  /** Stands for it in the headers of its calls. */
  readonly key: string;
  readonly socket: Socket;
  readonly address: string;
  standing: 'stranger' | 'guest' | 'member' = 'stranger';
  /** As whom a guest introduced itself last. */
  guest: Sender | undefined;
  /** Who it proved to be; undefined where it proved nothing. */
  proven: Party | undefined;
  /** The secret by which it did. */
  secret: Buffer | undefined;
  /** Of a connection without a proof, as are the next ones. */
  calls = 0;
  controlFrames = 0;
  /** Bytes of the contents of calls. */
  contentBytes = 0;
  heldBytes = 0;
  /** Streams and calls with nonsense. */
  nonsense = 0;
  readonly openedAtMs = systemClock.now();
  patience: Timer | undefined;

  constructor(key: string, socket: Socket) {
    this.key = key;
    this.socket = socket;
    this.address = socket.remoteAddress ?? NO_ADDRESS;
  }
}

/**
 * Stands between the listening socket and gRPC. Nothing of HTTP/2 is read from a connection before it has proven that it
 * knows the cluster secret; where that is not required, it is read within the bounds that strangers have.
 */
export class Doorkeeper {
  readonly #local: LocalNode;
  readonly #refusals: Refusals;
  readonly #arrivals = new Arrivals();
  /** All connections, by key. */
  readonly #entrants = new Map<string, Entrant>();
  /** Oldest first. */
  readonly #strangers = new Set<Entrant>();
  readonly #guests = new Set<Entrant>();
  readonly #strangersMax: number;
  /** Of connections without a proof. */
  readonly #unfinished = new UnfinishedMessages<Entrant>(UNFINISHED_BYTES_MAX);
  /** Connections on which HTTP/2 has begun without a proof. */
  readonly #unproven = new Set<Entrant>();
  #wasteReview: Timer | undefined;
  #numbered = 0;
  readonly #review: Timer | undefined;

  /** @param strangersMax A lower bound than {@link STRANGERS_MAX} where file descriptors are few. */
  constructor(local: LocalNode, refusals: Refusals, strangersMax = STRANGERS_MAX) {
    this.#strangersMax = Math.min(STRANGERS_MAX, strangersMax);
    this.#local = local;
    this.#refusals = refusals;
    if (local.auth.mode !== 'none')
      this.#review = every(SECRETS_REVIEW_MS, () => this.#endThoseOfOldSecrets());
  }

  /** Calls `admit` once HTTP/2 may begin on the connection; ends it otherwise. */
  receive(socket: Socket, admit: (entrant: Entrant) => void): void {
    const { remoteAddress = NO_ADDRESS } = socket;
    if (!this.#arrivals.admits(remoteAddress, systemClock.now())) {
      socket.destroy();
      this.#refusals.note(remoteAddress, 'too_often');
      return;
    }
    this.#numbered += 1;
    const entrant = new Entrant(String(this.#numbered), socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#forget(entrant));
    this.#entrants.set(entrant.key, entrant);
    this.#makeRoom(entrant.address);
    this.#strangers.add(entrant);
    entrant.patience = systemClock.after(STRANGER_MS, () => this.refuse(entrant, 'too_slow'));
    void this.#examine(entrant).then((isAdmitted) => {
      if (!isAdmitted || socket.destroyed) return;
      if (entrant.proven === undefined) this.#watchWaste(entrant);
      admit(entrant);
    });
  }

  /** The connection with this key; undefined when it is over. */
  entrant(key: string): Entrant | undefined {
    return this.#entrants.get(key);
  }

  /** The connection introduced itself as a node of this cluster. Returns whether this node knows that one as a member. */
  introduced(entrant: Entrant, sender: Sender): boolean {
    const isMember = entrant.proven !== undefined || this.#local.knows(sender.id, sender.incarnation);
    if (entrant.standing === 'member') return isMember;
    this.#strangers.delete(entrant);
    entrant.patience?.cancel();
    if (isMember) {
      this.#guests.delete(entrant);
      entrant.standing = 'member';
      return true;
    }
    entrant.guest = sender;
    if (entrant.standing === 'guest') return false;
    entrant.standing = 'guest';
    this.#guests.add(entrant);
    if (this.#guests.size > GUESTS_MAX) this.#endGuest();
    return false;
  }

  /** Whether the connection belongs to a member, as far as this node knows by now. */
  isMember(entrant: Entrant): boolean {
    if (entrant.standing === 'guest' && entrant.guest !== undefined) this.introduced(entrant, entrant.guest);
    return entrant.standing === 'member';
  }

  /** Counts a call of a connection without a proof. False when it was one too many, and the connection is ended. */
  countCall(entrant: Entrant): boolean {
    entrant.calls += 1;
    if (entrant.calls <= STRANGERS_CALLS_MAX || this.isMember(entrant)) return true;
    if (entrant.calls === STRANGERS_CALLS_MAX + 1) this.refuse(entrant, 'flood');
    return false;
  }

  /** Counts a ping or a settings frame. */
  countControlFrame(entrant: Entrant): void {
    if (entrant.proven !== undefined) return;
    entrant.controlFrames += 1;
    const openSeconds = (systemClock.now() - entrant.openedAtMs) / 1000;
    const most = STRANGERS_CONTROL_FRAMES_MAX + openSeconds * CONTROL_FRAMES_PER_SECOND;
    if (entrant.controlFrames > most) this.refuse(entrant, 'flood');
  }

  /** Counts nonsense in a stream or a call, which is ended by the caller. A connection without a proof may bring so much of it. */
  countNonsense(entrant: Entrant): void {
    this.#refusals.note(entrant.address, 'malformed');
    if (entrant.proven !== undefined) return;
    entrant.nonsense += 1;
    if (entrant.nonsense > NONSENSE_MAX) this.refuse(entrant, 'flood');
  }

  /** Counts a call that only members may make, and that its connection outlives. */
  noteGuest(entrant: Entrant): void {
    this.#refusals.note(entrant.address, 'not_a_member');
  }

  /** Counts bytes that a message holds which has not arrived in full; negative once it has, or never will. */
  countUnfinished(entrant: Entrant, bytes: number): void {
    this.#unfinished.count(entrant, bytes);
    for (let largest = this.#unfinished.excess; largest !== undefined; largest = this.#unfinished.excess) {
      this.refuse(largest, 'too_much');
      // One whose socket is over holds nothing more, though its end has not been told yet.
      this.#forget(largest);
    }
  }

  /** Ends a connection for what came over it. */
  refuse(entrant: Entrant, reason: RefusalReason): void {
    if (entrant.socket.destroyed) return;
    this.#refusals.note(entrant.address, reason);
    this.#forget(entrant);
    entrant.socket.destroy();
  }

  close(): void {
    this.#review?.cancel();
    this.#wasteReview?.cancel();
    for (const { socket } of [...this.#entrants.values()]) socket.destroy();
  }

  /** Whether HTTP/2 may begin. */
  async #examine(entrant: Entrant): Promise<boolean> {
    const { socket } = entrant;
    const preamble = new Preamble(socket, PROOF_TIMEOUT_MS);
    try {
      const first = await preamble.peek(HTTP2_START.length);
      if (startsAsFrame(first)) {
        const me = this.#local.identity();
        const { dialer, secret } = await proveAsListener(preamble, me, this.#local.auth.secrets());
        entrant.proven = dialer;
        entrant.secret = secret;
        this.introduced(entrant, dialer);
        return true;
      }
      if (!first.equals(HTTP2_START)) throw new ProofFailure('foreign');
      if (this.#local.auth.mode !== 'required') return true;
      this.refuse(entrant, 'no_proof');
      return false;
    } catch (error) {
      if (!(error instanceof ProofFailure)) throw error;
      this.#failed(entrant, error);
      return false;
    } finally {
      preamble.release();
    }
  }

  #failed(entrant: Entrant, { kind }: ProofFailure): void {
    const { socket } = entrant;
    if (kind === 'broken') {
      // One that ended of its own accord is no refusal: it may have been a port scan, or a peer that gave up.
      if (!socket.readableEnded && !socket.destroyed) this.refuse(entrant, 'too_slow');
      socket.destroy();
      return;
    }
    this.#refusals.note(entrant.address, kind === 'wrong_peer' ? 'malformed' : kind);
    this.#forget(entrant);
    // The refusal still has to leave.
    socket.destroySoon();
  }

  /** Once a secret is no longer in its file, whoever proved itself by it has to do so anew. */
  #endThoseOfOldSecrets(): void {
    const secrets = this.#local.auth.secrets();
    for (const { secret, socket } of [...this.#entrants.values()]) {
      if (secret !== undefined && !secrets.some((one) => one.equals(secret))) socket.destroy();
    }
  }

  #watchWaste(entrant: Entrant): void {
    this.#unproven.add(entrant);
    this.#wasteReview ??= every(WASTE_REVIEW_MS, () => this.#endThoseThatWaste());
  }

  #endThoseThatWaste(): void {
    const now = systemClock.now();
    for (const entrant of [...this.#unproven]) {
      const { socket, contentBytes, calls, openedAtMs } = entrant;
      const overhead = calls * CALL_OVERHEAD_BYTES + (now - openedAtMs) * OVERHEAD_BYTES_PER_MS;
      const wasted = socket.bytesRead - 2 * contentBytes - overhead;
      if (wasted > WASTED_BYTES_MAX) this.refuse(entrant, 'flood');
    }
  }

  #makeRoom(address: string): void {
    const ofAddress = [...this.#strangers].filter((stranger) => stranger.address === address);
    const isCrowded = ofAddress.length >= STRANGERS_PER_ADDRESS_MAX;
    if (!isCrowded && this.#strangers.size < this.#strangersMax) return;
    const [oldest] = isCrowded ? ofAddress : largestGroup(this.#strangers, addressOf);
    if (oldest !== undefined) this.refuse(oldest, 'too_many');
  }

  #endGuest(): void {
    const guests = [...this.#guests].filter((guest) => !this.isMember(guest));
    const [oldest] = largestGroup(guests, addressOf);
    if (oldest !== undefined && guests.length > GUESTS_MAX) this.refuse(oldest, 'too_many');
  }

  #forget(entrant: Entrant): void {
    entrant.patience?.cancel();
    this.#entrants.delete(entrant.key);
    this.#strangers.delete(entrant);
    this.#guests.delete(entrant);
    this.#unfinished.count(entrant, -entrant.heldBytes);
    this.#unproven.delete(entrant);
    if (this.#unproven.size > 0) return;
    this.#wasteReview?.cancel();
    this.#wasteReview = undefined;
  }
}

function addressOf({ address }: Entrant): string {
  return address;
}
