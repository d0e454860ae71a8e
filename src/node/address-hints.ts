import type { Clock } from '../clock.js';
import { RaftkvError } from '../errors.js';
import type { NodeId } from '../raft/types.js';
import type { Hello, PeerConnection, Transport } from '../transport/contract.js';
import type { NodeLogger } from './contracts.js';
import { HINT_REVIEW_MS, HINT_TIMEOUT_MS } from './limits.js';

/** Where a member may be. */
export interface AddressHint {
  readonly id: NodeId;
  /** `host:port`. */
  readonly peerAddress: string;
}

/**
 * Looks for members that do not answer where the configuration has them at the addresses that the command line gives. When all
 * members of a cluster move at once, the configuration of each names only addresses that nobody uses any more, so no member
 * can tell another where it is.
 *
 * A hint is a place to ask and nothing to believe: the transport goes on with what answers there only if it is the member,
 * by name, incarnation and cluster.
 */
export class AddressHints {
  private isStopped = false;
  /** What was last said of each hint, so that it is said once. */
  private readonly said = new Map<NodeId, string>();

  constructor(
    private readonly hints: readonly AddressHint[],
    private readonly transport: Pick<Transport, 'connections' | 'handshake'>,
    private readonly clock: Clock,
    private readonly hello: () => Hello,
    private readonly logger: NodeLogger,
  ) {}

  /** Looks from now on, as long as the node runs. */
  start(): void {
    if (this.hints.length === 0) return;
    this.clock.after(HINT_REVIEW_MS, async () => {
      if (this.isStopped) return;
      await Promise.all(this.hints.map((hint) => this.follow(hint)));
      if (!this.isStopped) this.start();
    });
  }

  stop(): void {
    this.isStopped = true;
  }

  private async follow({ id, peerAddress }: AddressHint): Promise<void> {
    const before = this.connectionTo(id);
    if (before === undefined || before.state === 'connected' || before.address === peerAddress) return;
    try {
      const { identity } = await this.transport.handshake(peerAddress, this.hello(), HINT_TIMEOUT_MS);
      const after = this.connectionTo(id);
      if (after === undefined || after.state === 'connected') return;
      const isFound = identity.id === id && after.address === identity.peerAddress;
      this.say(
        id,
        isFound
          ? `${id} does not answer at ${before.address}. It answers at ${peerAddress}, where --initial-cluster has it.`
          : `--initial-cluster has ${id} at ${peerAddress}, where ${identity.id} of cluster ${identity.cluster || 'none yet'} answers ` +
              `as incarnation ${identity.incarnation}. That is not the member, so this node goes on with ${before.address}.`,
      );
    } catch (error) {
      if (!(error instanceof RaftkvError)) throw error;
      // That nobody answers there either is the rule while a member is down.
      if (error.code === 'unavailable') return;
      this.say(
        id,
        `${id} cannot be reached at ${peerAddress}, where --initial-cluster has it: ${error.message}`,
      );
    }
  }

  private connectionTo(id: NodeId): PeerConnection | undefined {
    return this.transport.connections().find((connection) => connection.id === id);
  }

  private say(id: NodeId, line: string): void {
    if (this.said.get(id) === line) return;
    this.said.set(id, line);
    this.logger.info({ member: id }, line);
  }
}
