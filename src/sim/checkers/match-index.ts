import type { Configuration, Index, Message, NodeId, Term } from '../../raft/types.js';
import { type Checker, type CoreView, type NodeView, Violation } from './checker.js';

/** What a leader was seen to hold of one other, as which incarnation it knows it. */
interface Followed {
  readonly incarnation: string;
  readonly match: Index;
}

/** One leader's term, as far as it was watched. */
interface Leadership {
  readonly term: Term;
  configuration: Configuration;
  readonly followed: Map<NodeId, Followed>;
}

/**
 * What a leader knows to be replicated on a server increases monotonically (Figure 2, `matchIndex`; correctness row 9), and it is on the
 * disk of that very incarnation of the server (correctness rows 2 and 16): an answer of somebody else who had its name, or to something
 * that was no append, says nothing about it. Looked at when any answer came, also of a server that was removed and is still to be told
 * (row 17): what it is told to be committed rests on the same number.
 */
export class MatchIndex implements Checker {
  readonly property = 'The match index never decreases, and is on disk (Figure 2)';
  private readonly known = new Map<NodeId, Leadership>();

  constructor(private readonly nodes: () => ReadonlyMap<NodeId, NodeView>) {}

  stepped(node: NodeView, core: CoreView): void {
    if (core.role === 'leader') this.leadership(node, core);
  }

  received(node: NodeView, core: CoreView, message: Message): void {
    if (core.role !== 'leader') return;
    if (message.type !== 'appendEntriesResponse' && message.type !== 'heartbeatResponse') return;
    const { followed } = this.leadership(node, core);
    const before = followed.get(message.from);
    const match = core.follower(message.from)?.match;
    if (match === undefined || before === undefined || before.match === match) return;
    const { incarnation } = before;
    followed.set(message.from, { incarnation, match });
    if (match < before.match) this.fail(node, core, message.from, `went from ${before.match} to ${match}`);
    this.checkDisk(node, core, message.from, incarnation, match);
  }

  ended(node: NodeView): void {
    this.known.delete(node.id);
  }

  /** Who leaves is known on as what it was; who comes, or comes back, begins with nothing. */
  private leadership(node: NodeView, { term, configuration }: CoreView): Leadership {
    let leadership = this.known.get(node.id);
    if (leadership?.term !== term) {
      leadership = { term, configuration, followed: new Map() };
      this.known.set(node.id, leadership);
    } else if (leadership.configuration === configuration) {
      return leadership;
    }
    const wereMembers = new Set(leadership.configuration.members.map(({ id }) => id));
    const { followed } = leadership;
    for (const { id, incarnation } of configuration.members) {
      const match = wereMembers.has(id) ? (followed.get(id)?.match ?? 0) : 0;
      followed.set(id, { incarnation, match });
    }
    leadership.configuration = configuration;
    return leadership;
  }

  private checkDisk(node: NodeView, core: CoreView, id: NodeId, incarnation: string, match: Index): void {
    if (match > core.lastIndex) this.fail(node, core, id, `is ${match}, beyond its own log`);
    const follower = this.nodes().get(id);
    if (follower === undefined || follower.incarnation !== incarnation || follower.isDamaged) return;
    const { durable } = follower;
    const isCompacted = match < durable.startIndex || match < core.firstIndex - 1;
    // What it held in this leader's time may have been replaced since, by a leader of a later term.
    if (isCompacted || durable.termAt(match) === core.termAt(match) || durable.term > core.term) return;
    this.fail(node, core, id, `is ${match}, where the disk of ${id} has term ${durable.termAt(match)}`);
  }

  private fail(node: NodeView, core: CoreView, id: NodeId, what: string): never {
    throw new Violation(
      this.property,
      `${node.id} leads term ${core.term} with a log up to ${core.lastIndex}, and its match index for ${id} ${what}.`,
    );
  }
}
