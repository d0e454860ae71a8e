import type { Clock } from '../clock.js';
import { memberOf } from '../raft/configuration.js';
import type { Member } from '../raft/types.js';
import type { Identity, PeerConnection } from '../transport/contract.js';
import { ADDRESS_REVIEW_MS } from './limits.js';
import type { RaftNode } from './raft-node.js';

/**
 * Brings the addresses in the configuration up to date. A member that moved says so with every connection, so its peers find
 * it; but what they heard is gone when they restart, and a cluster whose nodes moved one after the other would not find
 * together again. So the leader writes down where its members, and it itself, are now.
 */
export class AddressKeeper {
  private isStopped = false;

  constructor(
    private readonly node: RaftNode<unknown>,
    private readonly clock: Clock,
    private readonly self: () => Identity,
    private readonly connections: () => readonly PeerConnection[],
  ) {}

  /** Looks from now on, as long as the node runs. */
  start(): void {
    this.clock.after(ADDRESS_REVIEW_MS, () => {
      if (this.isStopped) return;
      this.review();
      this.start();
    });
  }

  stop(): void {
    this.isStopped = true;
  }

  /** One change at a time: what is refused, or still to be done, is done at a later look. */
  private review(): void {
    const { raft } = this.node;
    if (raft.role !== 'leader') return;
    const moved = raft.configuration.members
      .map((member) => this.whereItIs(member))
      .find((member) => {
        const known = memberOf(raft.configuration, member.id);
        return known?.peerAddress !== member.peerAddress || known.clientUrl !== member.clientUrl;
      });
    if (moved) this.node.change((core) => core.proposeChange({ kind: 'updateMember', member: moved }));
  }

  private whereItIs(member: Member): Member {
    const { id, incarnation, peerAddress, clientUrl } = this.self();
    if (member.id === id)
      return member.incarnation === incarnation ? { ...member, peerAddress, clientUrl } : member;
    const connection = this.connections().find((candidate) => candidate.id === member.id);
    // What is not connected may be an address that the member has left, too; and whoever answers is of this incarnation only
    // where one is known.
    if (connection?.state !== 'connected' || member.incarnation === '') return member;
    return {
      ...member,
      peerAddress: connection.address,
      clientUrl: connection.clientUrl || member.clientUrl,
    };
  }
}
