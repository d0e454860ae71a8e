import type { Raft } from '../raft/raft.js';
import type { Configuration, Member, NodeId } from '../raft/types.js';
import type { Peer, Transport } from '../transport/contract.js';

/** Keeps the transport's list of peers as the core has it: the members, who left and is still to be told, and the leader. */
export class PeerList {
  /** Where members were last known to be, so that one that left can still be told. */
  private readonly addressBook = new Map<NodeId, Member>();
  private current: {
    readonly configuration: Configuration;
    readonly followerCount: number;
    readonly leader: NodeId | null;
  } | null = null;

  constructor(
    private readonly id: NodeId,
    private readonly raft: Raft,
    private readonly transport: Transport,
  ) {}

  /** Looks whether anything changed. */
  follow(): void {
    const { configuration, followerCount, leader } = this.raft;
    const { current } = this;
    // Configurations are immutable, so the same object is the same configuration; a leader also forgets who left.
    const isSame =
      current?.configuration === configuration &&
      current.followerCount === followerCount &&
      current.leader === leader;
    if (isSame) return;
    this.current = { configuration, followerCount, leader };
    for (const member of configuration.members) this.addressBook.set(member.id, member);
    const targets = new Set(this.raft.replicationTargets());
    // A leader that is being removed leads until that is committed: what was forwarded to it is still to be answered.
    if (leader !== null && leader !== this.id) targets.add(leader);
    const peers: Peer[] = [];
    for (const id of targets) {
      const member = this.addressBook.get(id);
      if (member) peers.push({ id, incarnation: member.incarnation, address: member.peerAddress });
    }
    this.transport.setPeers(peers);
  }
}
