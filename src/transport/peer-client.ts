import type { Client } from '@grpc/grpc-js';
import { objectionToVersions } from '../cluster-version.js';
import type { Message, NodeId, RequestVote } from '../raft/types.js';
import { Connection, callOnce } from './connection.js';
import type { Identity, Peer, PeerConnection, PeerReport, Receiver } from './contract.js';
import type { Target } from './dial.js';
import { type Introduction, introduce } from './introduction.js';
import { VOTE_TIMEOUT_MS } from './limits.js';
import type { LocalNode } from './local-node.js';
import {
  decodeAppendResponses,
  decodeHeartbeatResponses,
  decodeVoteResponse,
  encodeAppend,
  encodeHeartbeat,
  encodeTimeoutNow,
  encodeVote,
} from './messages.js';
import { service } from './wire.js';

type Request = Extract<Message, { type: 'requestVote' | 'appendEntries' | 'heartbeat' | 'timeoutNow' }>;

/**
 * This node as a client of one peer, over two connections that are always up and one for each snapshot:
 *
 * - control: heartbeats on its stream, votes, leadership transfer;
 * - bulk: appends on its stream, forwarded work.
 *
 * They are separate because HTTP/2 sends what is written in order: a value of some megabytes ahead of a heartbeat
 * would hold it up for as long as the network takes to carry it.
 */
export class PeerClient {
  readonly id: NodeId;
  readonly #local: LocalNode;
  readonly #receiver: Receiver;
  readonly #control: Connection;
  readonly #bulk: Connection;
  /** As the configuration has it. */
  #configured: Peer;
  /** As the peer itself has it, '' while it agrees with the configuration. */
  #learnedAddress = '';
  #clientUrl = '';
  #closed = false;

  /** @param note Called with a sentence whenever a connection opens, breaks or is refused. */
  constructor(
    peer: Peer,
    local: LocalNode,
    receiver: Receiver,
    note: (peer: NodeId, line: string) => void = () => {},
  ) {
    this.id = peer.id;
    this.#configured = peer;
    this.#local = local;
    this.#receiver = receiver;
    const objectionTo = ({ sender }: Introduction) =>
      objectionToVersions(sender.id, sender.versions, local.clusterVersion());
    const deliver = (message: Message, isProven: boolean) => this.#deliver(message, isProven);
    const events = (what: string, broken: () => void) => ({
      opened: ({ sender }: Introduction) => {
        this.#clientUrl = sender.clientUrl;
        note(peer.id, `Connected to ${peer.id} at ${this.target.address} for ${what}.`);
      },
      broken: (reason: string) => {
        note(peer.id, `The connection to ${peer.id} for ${what} ended: ${reason}`);
        broken();
      },
      refused: (reason: string) => note(peer.id, `No connection to ${peer.id} for ${what}: ${reason}`),
    });
    this.#control = new Connection(service.Heartbeat, peer, local, {
      objectionTo,
      decode: (bytes, incarnation) => decodeHeartbeatResponses(bytes, this.#routeFrom(incarnation)),
      deliver,
      // The next round repeats a lost heartbeat; only lost appends are worth telling the core.
      ...events('heartbeats', () => {}),
    });
    this.#bulk = new Connection(service.AppendEntries, peer, local, {
      objectionTo,
      decode: (bytes, incarnation) => decodeAppendResponses(bytes, this.#routeFrom(incarnation)),
      deliver,
      // Later, since a new address breaks the stream while the node is in the middle of telling so.
      ...events('appends', () =>
        queueMicrotask(() => {
          if (!this.#closed) receiver.onUnreachable(this.id);
        }),
      ),
    });
  }

  /** Where the peer is reached, and as whom. */
  get target(): Target {
    return { ...this.#configured, address: this.#learnedAddress || this.#configured.address };
  }

  /** What this side says when it opens a call. */
  introduction() {
    return introduce(this.#local.identity(), this.target);
  }

  /** The client for bulk calls; undefined while the peer is not connected. */
  get bulkClient(): Client | undefined {
    return this.#bulk.client;
  }

  /** Connected, but without a proof that the peer knows the cluster secret. */
  get isUnproven(): boolean {
    return [this.#control, this.#bulk].some((connection) => connection.isOpen && !connection.isProven);
  }

  status(): PeerConnection {
    const reason = this.#control.refusal || this.#bulk.refusal;
    const report = this.#report;
    return {
      id: this.id,
      address: this.target.address,
      state: reason !== '' ? 'refused' : report ? 'connected' : 'connecting',
      reason,
      clientUrl: this.#clientUrl,
      ...(report && { report }),
    };
  }

  /** What the peer says of itself on both streams; undefined unless both are open, and to the same incarnation. */
  get #report(): PeerReport | undefined {
    const control = this.#control.provenPeer;
    const bulk = this.#bulk.provenPeer;
    if (control === undefined || control.incarnation !== bulk?.incarnation) return undefined;
    // Between the two the peer may have been started again, with another program.
    const oldest = Math.max(control.versions.oldest, bulk.versions.oldest);
    const newest = Math.min(control.versions.newest, bulk.versions.newest);
    return { incarnation: control.incarnation, versions: { oldest, newest } };
  }

  /** The configuration changed. An address that the peer itself named stays, until the configuration names a new one. */
  reconfigure(peer: Peer): void {
    if (peer.address !== this.#configured.address) this.#learnedAddress = '';
    this.#configured = peer;
    this.#retarget();
  }

  /**
   * The peer called this node, or answered its handshake, and introduced itself. Without a proof its word counts only while it cannot be reached
   * where it is expected: who answers there says itself where it is.
   */
  heard(sender: Identity, isProven: boolean): void {
    const known = this.#configured.incarnation;
    if (known !== '' && sender.incarnation !== known) return;
    if (!isProven && (known === '' || this.#control.isOpen || this.#bulk.isOpen)) return;
    this.#clientUrl = sender.clientUrl;
    // An incarnation that is not known proves nothing about whose address it is.
    if (known === '' || sender.peerAddress === '') return;
    this.#learnedAddress = sender.peerAddress === this.#configured.address ? '' : sender.peerAddress;
    this.#retarget();
  }

  send(message: Request): void {
    switch (message.type) {
      case 'appendEntries':
        if (this.#bulk.isOpen) this.#bulk.write(encodeAppend(message));
        return;
      case 'heartbeat':
        this.#control.write(encodeHeartbeat(message));
        return;
      case 'requestVote':
        this.#askForVote(message);
        return;
      case 'timeoutNow': {
        const client = this.#control.client;
        if (client === undefined) return;
        const metadata = this.introduction();
        // Lost or refused, the transfer is abandoned when its time is over; there is nothing to tell the core.
        callOnce(client, service.TimeoutNow, encodeTimeoutNow(message), metadata, VOTE_TIMEOUT_MS, () => {});
        return;
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#control.close();
    this.#bulk.close();
  }

  #askForVote(message: RequestVote): void {
    const client = this.#control.client;
    if (client === undefined) return;
    const metadata = this.introduction();
    callOnce(
      client,
      service.RequestVote,
      encodeVote(message),
      metadata,
      VOTE_TIMEOUT_MS,
      (_, answer, from) => {
        // An election repeats by itself, so a lost answer needs nothing.
        if (this.#closed || answer === undefined || from === undefined) return;
        if (this.#control.objectionTo(from) !== '') return;
        let response: Message;
        try {
          response = decodeVoteResponse(answer, this.#routeFrom(from.sender.incarnation), message.call);
        } catch {
          return;
        }
        this.#deliver(response, this.#control.isProven);
      },
    );
  }

  #deliver(message: Message, isProven: boolean): void {
    const isMember = isProven || this.#local.knows(this.id, message.fromIncarnation);
    this.#receiver.onMessage(message, isMember);
  }

  #retarget(): void {
    this.#control.retarget(this.target);
    this.#bulk.retarget(this.target);
  }

  #routeFrom(incarnation: string) {
    return { from: this.id, fromIncarnation: incarnation, to: this.#local.identity().id };
  }
}
