import type { Identity, Receiver } from '../../src/transport/contract.js';
import { GrpcTransport } from '../../src/transport/grpc-transport.js';
import { noPeerAuth, type PeerAuth } from '../../src/transport/peer-auth.js';
import type { Refused } from '../../src/transport/refusals.js';
import type { Started, World } from './conformance-world.js';

const WAIT_MS_MAX = 10_000;

/** Nodes in this process that talk over the loopback interface, in real time. */
export class GrpcWorld implements World {
  /** The requirement is 300 ms; the rest is for a machine that is busy with other tests. */
  readonly reconnectMsMax = 1_000;
  /** In force on every node that is started from now on. */
  clusterVersion = 1;
  readonly refused: Refused[] = [];
  readonly #transports: GrpcTransport[] = [];
  /** In force on every node that is started from now on. */
  auth: PeerAuth;
  /** Who is a member as far as the nodes here know; tests change it. */
  knows: (id: string, incarnation: string) => boolean = () => true;

  constructor(auth: PeerAuth = noPeerAuth) {
    this.auth = auth;
  }

  async start(identity: Identity, receiver: Receiver): Promise<Started> {
    const port = identity.peerAddress === '' ? 0 : Number(identity.peerAddress.split(':')[1]);
    const addressOf = (transport: GrpcTransport) => `127.0.0.1:${transport.port}`;
    const { clusterVersion } = this;
    const transport: GrpcTransport = new GrpcTransport({
      listen: { host: '127.0.0.1', port },
      identity: () => ({ ...identity, peerAddress: addressOf(transport) }),
      clusterVersion: () => clusterVersion,
      auth: this.auth,
      knows: (id, incarnation) => this.knows(id, incarnation),
      refused: (refused) => this.refused.push(refused),
    });
    await transport.start(receiver);
    this.#transports.push(transport);
    return { transport, address: addressOf(transport) };
  }

  /** What was refused at the peer port of a node, by reason. */
  refusalsOf({ address }: { readonly address: string }): ReadonlyMap<string, number> {
    const transport = this.#transports.find(({ port }) => address.endsWith(`:${port}`));
    return transport?.refusals ?? new Map();
  }

  now(): number {
    return performance.now();
  }

  /** The state of a connection has no event, so it is asked for again after each turn of the event loop. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const startedAt = performance.now();
    while (!condition()) {
      if (performance.now() - startedAt > WAIT_MS_MAX) throw new Error(`Waited in vain until ${what}.`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.stop(0)));
  }
}
