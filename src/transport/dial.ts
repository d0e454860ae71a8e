import { connect as connectSocket, type Socket } from 'node:net';
import { CallCredentials, ChannelCredentials, type ChannelOptions, Client, credentials } from '@grpc/grpc-js';
import {
  KEEPALIVE_INTERVAL_MS,
  KEEPALIVE_TIMEOUT_MS,
  MESSAGE_BYTES_MAX,
  PROOF_TIMEOUT_MS,
  RECONNECT_BACKOFF_MAX_MS,
  RECONNECT_BACKOFF_MIN_MS,
  RESOLUTION_INTERVAL_MIN_MS,
} from './limits.js';
import type { LocalNode } from './local-node.js';
import { type Party, proveAsDialer } from './proof.js';
import { Preamble, ProofFailure } from './proof-frames.js';

const clientOptions: ChannelOptions = {
  // Without a pool of its own, a client shares its connection with every other client of the same address.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': RECONNECT_BACKOFF_MIN_MS,
  'grpc.max_reconnect_backoff_ms': RECONNECT_BACKOFF_MAX_MS,
  'grpc.dns_min_time_between_resolutions_ms': RESOLUTION_INTERVAL_MIN_MS,
  // Peers publish no service configuration, so the TXT lookup for it would only cost time.
  'grpc.service_config_disable_resolution': 1,
  'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
};

/** Whom a connection is meant to reach. */
export interface Target {
  /** '' for whoever answers. */
  readonly id: string;
  /** '' for whichever incarnation answers. */
  readonly incarnation: string;
  /** `host:port`. */
  readonly address: string;
}

/**
 * A gRPC client with a connection of its own to one peer. It connects with the first call, and again after each break.
 * With a cluster secret, both sides prove that they know it on each connection before HTTP/2 begins; see {@link proveAsDialer}.
 */
export class Dial {
  readonly client: Client;
  /** Who the present connection proved to reach; undefined before that, and where nobody has to prove anything. */
  proven: Party | undefined;
  /** What is wrong with whoever answers, as far as proofs tell; '' for nothing, or where HTTP/2 has begun without a proof. */
  objection = '';
  /** Whether it is that another node answers. */
  isWrongPeer = false;
  #isClosed = false;

  /** @param onObjection Called when {@link objection} became something. */
  constructor(
    readonly target: Target,
    local: LocalNode,
    private readonly onObjection: () => void = () => {},
  ) {
    const channelCredentials =
      local.auth.mode === 'none'
        ? credentials.createInsecure()
        : new ProvingCredentials((socket, onSocket) => this.#prove(socket, local, onSocket));
    this.client = new Client(`dns:${target.address}`, channelCredentials, clientOptions);
  }

  close(): void {
    this.#isClosed = true;
    this.client.close();
  }

  /** Resolves with a socket on which HTTP/2 may begin. */
  async #prove(
    socket: Socket,
    { identity, auth }: LocalNode,
    onSocket: (socket: Socket) => void,
  ): Promise<Socket> {
    this.proven = undefined;
    const preamble = new Preamble(socket, PROOF_TIMEOUT_MS);
    try {
      this.proven = await proveAsDialer(preamble, identity(), this.target, auth.secrets());
      this.objection = '';
      return socket;
    } catch (error) {
      if (!(error instanceof ProofFailure)) throw error;
      const objection = objectionOf(error, this.target);
      // Whoever answers as another node is the wrong one, whatever it can prove.
      if (auth.mode === 'permissive' && error.kind !== 'wrong_peer') {
        const { remoteAddress, remotePort } = socket;
        socket.destroy();
        this.objection = '';
        const isOfSecrets = error.kind === 'unknown_secret' || error.kind === 'no_secret';
        return await anotherTo(remoteAddress, remotePort, (plain) => {
          onSocket(plain);
          // A peer that demands a proof ends the connection without a word; the first answer said why.
          if (isOfSecrets) plain.once('close', () => plain.bytesRead === 0 && this.#object(objection));
        });
      }
      this.isWrongPeer = error.kind === 'wrong_peer';
      if (objection !== '') this.#object(objection);
      throw new Error(objection || 'The connection broke before the peer had proven who it is.');
    } finally {
      preamble.release();
    }
  }

  #object(objection: string): void {
    if (this.#isClosed) return;
    this.objection = objection;
    this.onObjection();
  }
}

function objectionOf({ kind, answering }: ProofFailure, { id, incarnation, address }: Target): string {
  const there = `The node at ${address}`;
  switch (kind) {
    case 'broken':
      return '';
    case 'foreign':
      return `${there} cannot prove that it knows the cluster secret: it is no raftkv node, or one of an older version.`;
    case 'no_secret':
      return `${there} has no cluster secret. Start it with the --cluster-secret-file of this cluster.`;
    case 'unknown_secret':
      return `${there} has another cluster secret than this node. Give both the same --cluster-secret-file.`;
    case 'wrong_peer':
      if (id === '') return `${there} is this node itself.`;
      return answering?.id === id
        ? `The call is meant for incarnation ${incarnation} of ${id}; the node at ${address} is incarnation ${answering.incarnation}. Was its data directory replaced?`
        : `The call is meant for ${id}; the node at ${address} is ${answering?.id}.`;
    case 'malformed':
      return `${there} does not prove in a way that this node understands that it knows the cluster secret.`;
  }
}

/**
 * A second connection to where a first one led, which the exchange of proofs has made useless for HTTP/2. A socket tells where it
 * leads only until it is destroyed.
 */
function anotherTo(
  host: string | undefined,
  port: number | undefined,
  onSocket: (socket: Socket) => void,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (host === undefined || port === undefined) {
      reject(new Error('The connection broke before the peer had answered.'));
      return;
    }
    const socket = connectSocket({ host, port, noDelay: true });
    onSocket(socket);
    socket.once('connect', () => resolve(socket)).on('error', reject);
    socket.once('close', () => reject(new Error('The connection broke before the peer had answered.')));
  });
}

type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;
/** Resolves with the socket on which HTTP/2 begins; tells of another one that it opens meanwhile. */
type Prepare = (socket: Socket, onSocket: (socket: Socket) => void) => Promise<Socket>;

/**
 * Lets grpc-js begin HTTP/2 on what `prepare` makes of a socket that has just connected. Channels ask their credentials
 * for a connector, by a method that is exported but not documented; `test/transport/grpc-internals.test.ts` fails when a
 * new version of grpc-js does so in another way.
 */
class ProvingCredentials extends ChannelCredentials {
  readonly #prepare: Prepare;

  constructor(prepare: Prepare) {
    super();
    this.#prepare = prepare;
  }

  override _isSecure(): boolean {
    return false;
  }

  override _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  override _createSecureConnector(): Connector {
    let preparing: Socket | undefined;
    const onSocket = (socket: Socket) => {
      preparing = socket;
      // Nobody else listens until HTTP/2 begins; that the connection ended is noticed all the same.
      socket.on('error', () => {});
    };
    return {
      connect: async (socket) => {
        onSocket(socket);
        const prepared = await this.#prepare(socket, onSocket);
        preparing = undefined;
        return { socket: prepared, secure: false };
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => CallCredentials.createEmpty(),
      destroy: () => preparing?.destroy(),
    };
  }
}
