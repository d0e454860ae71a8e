import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { RaftkvError } from '../../src/errors.js';
import { type AppendEntries, EntryKind, type Message, type NodeId } from '../../src/raft/types.js';
import type {
  ForwardRequest,
  Hello,
  Identity,
  PeerConnection,
  Receiver,
  Transport,
} from '../../src/transport/contract.js';

/** What a network under test offers: nodes at addresses, and time, which may be simulated. */
export interface World {
  /** Starts a transport that says this about itself. It listens at `peerAddress`, or anywhere if that is ''. */
  start(identity: Identity, receiver: Receiver): Promise<Started>;
  /** Milliseconds; only differences mean anything. */
  now(): number;
  /** Lets time pass until the condition holds. Rejects, naming `what`, when it does not within some seconds. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** How soon a node that came back must be connected again, in milliseconds. */
  readonly reconnectMsMax: number;
  /** Stops everything that was started. */
  close(): Promise<void>;
}

export interface Started {
  readonly transport: Transport;
  readonly address: string;
}

/** A node of which every event is kept. What it answers can be replaced. */
export class TestNode implements Receiver {
  readonly received: Message[] = [];
  /** Whether the sender of each message was a member beyond doubt. */
  readonly fromMembers: boolean[] = [];
  readonly unreachable: NodeId[] = [];
  #started: Started | undefined;
  /** What is wrong with every message. */
  nonsense: string | null = null;
  onEvery: (message: Message) => void = () => {};
  onHandshake: (hello: Hello) => Hello = () => ({ identity: this.identity, initialCluster: '' });
  onForward: Receiver['onForward'] = async () => new Uint8Array();
  onSnapshot: Receiver['onSnapshot'] = async (header, chunks) => {
    await readAll(chunks);
    return { success: true, matchIndex: header.snapshot.index, term: header.term };
  };

  constructor(readonly identity: Identity) {}

  static async start(world: World, identity: Partial<Identity> & { readonly id: NodeId }): Promise<TestNode> {
    const node = new TestNode({
      cluster: 'cluster-1',
      incarnation: `${identity.id}-incarnation`,
      peerAddress: '',
      clientUrl: `http://${identity.id}.example:8080`,
      versions: SPOKEN_VERSIONS,
      ...identity,
    });
    node.#started = await world.start(node.identity, node);
    return node;
  }

  get transport(): Transport {
    if (!this.#started) throw new Error('The node is started.');
    return this.#started.transport;
  }
  get address(): string {
    if (!this.#started) throw new Error('The node is started.');
    return this.#started.address;
  }
  get id(): NodeId {
    return this.identity.id;
  }

  onMessage(message: Message, fromMember: boolean): string | null {
    this.received.push(message);
    this.fromMembers.push(fromMember);
    this.onEvery(message);
    return this.nonsense;
  }
  onUnreachable(peer: NodeId): void {
    this.unreachable.push(peer);
  }

  /** Sets one peer, by what that node says about itself unless told otherwise. */
  knows(peer: TestNode, as: { id?: NodeId; incarnation?: string; address?: string } = {}): void {
    const { id, incarnation } = peer.identity;
    this.transport.setPeers([{ id, incarnation, address: peer.address, ...as }]);
  }
  connection(): PeerConnection | undefined {
    return this.transport.connections()[0];
  }
  isConnected(): boolean {
    return this.connection()?.state === 'connected';
  }
  envelope(to: TestNode, term = 7) {
    return { from: this.id, fromIncarnation: this.identity.incarnation, to: to.id, term };
  }
}

export async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

export function append(from: TestNode, to: TestNode, previousIndex: number, payloadBytes = 3): AppendEntries {
  const payload = new Uint8Array(payloadBytes).fill(previousIndex % 251);
  return {
    type: 'appendEntries',
    ...from.envelope(to),
    previousIndex,
    previousTerm: 6,
    entries: [{ index: previousIndex + 1, term: 7, kind: EntryKind.command, payload }],
    commitIndex: 1,
  };
}

/** The code of the error with which `promise` rejects, 'none' when it does not. */
export const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => (error instanceof RaftkvError ? error.code : String(error)),
  );

/** Some work to forward. */
export const proposal: ForwardRequest = { operation: 'propose', payload: new Uint8Array([1, 2, 3]) };
