import { assert, present } from '../../src/assert.js';
import { configurationOfVoters, encodeConfiguration } from '../../src/raft/configuration.js';
import {
  type Configuration,
  type Entry,
  EntryKind,
  type Member,
  type Message,
} from '../../src/raft/types.js';
import { ScriptDisk } from './script-disk.js';
import { formatMessage } from './script-format.js';
import { ScriptNode } from './script-node.js';

/** A cluster that is not at rest after so many rounds of delivery is going round in circles. */
const QUIET_ROUNDS_MAX = 500;

/** The servers of a script, what is under way between them, and what the last command printed. */
export class ScriptCluster {
  private readonly nodes = new Map<string, ScriptNode>();
  private readonly disks = new Map<string, ScriptDisk>();
  private readonly incarnations = new Map<string, string>();
  private network: Message[] = [];
  /** Nodes of different groups do not reach each other; a node in no group reaches all. */
  private groups: readonly (readonly string[])[] = [];
  private lines: string[] = [];
  /** What a clock on the wall shows, in ticks. */
  time = 0;
  readonly limits = {
    appendBytes: 1000,
    messagesInFlight: 8,
    bytesInFlight: 100_000,
    uncommittedBytes: 100_000,
  };

  /** The lines since the last call. */
  takeOutput(): readonly string[] {
    const lines = this.lines;
    this.lines = [];
    return lines;
  }

  readonly print = (line: string): void => {
    this.lines.push(line);
  };

  get all(): readonly ScriptNode[] {
    return [...this.nodes.values()];
  }

  node(id: string): ScriptNode {
    return present(this.nodes.get(id), `${id} runs.`);
  }

  /** The name under which the configuration knows this node: its first incarnation is `n1-1`. */
  memberCalled(id: string): Member {
    const incarnation = this.incarnations.get(id) ?? `${id}-1`;
    return { id, incarnation, peerAddress: `${id}:7000`, clientUrl: `http://${id}:8000` };
  }

  /** A configuration entry at index 1, term 1, as a cluster begins. */
  firstEntry(configuration: Configuration): Entry {
    return { index: 1, term: 1, kind: EntryKind.configuration, payload: encodeConfiguration(configuration) };
  }

  /** Starts these nodes as the members of a new cluster. */
  found(configuration: Configuration): void {
    for (const { id } of configuration.members) {
      const disk = new ScriptDisk();
      disk.hardState = { term: 1, vote: null, commit: 1 };
      disk.entries = [this.firstEntry(configuration)];
      this.disks.set(id, disk);
      this.start(id, true);
    }
  }

  configurationOf(
    voters: readonly string[],
    outgoing: readonly string[],
    learners: readonly string[],
  ): Configuration {
    const ids = [...new Set([...voters, ...outgoing, ...learners])];
    const { members } = configurationOfVoters(ids.map((id) => this.memberCalled(id)));
    return { members, voters, outgoingVoters: outgoing, learners };
  }

  /** A node with nothing on its disk, as it is when it was told to join. */
  startEmpty(id: string, incarnation: string): void {
    this.incarnations.set(id, incarnation);
    this.disks.set(id, new ScriptDisk());
    this.start(id, true);
  }

  disk(id: string): ScriptDisk {
    return present(this.disks.get(id), `${id} has a disk.`);
  }

  /** Starts from what is on the disk. A quiet start does not tell what is applied again. */
  start(id: string, isQuiet: boolean): void {
    const incarnation = this.memberCalled(id).incarnation;
    let isStarting = isQuiet;
    const print = (line: string) => {
      if (!isStarting) this.print(line);
    };
    const node = new ScriptNode(id, incarnation, this.disk(id), this.limits, {
      print,
      send: (message) => this.post(message),
      time: () => this.time,
    });
    this.nodes.set(id, node);
    node.settle();
    isStarting = false;
  }

  crash(id: string): void {
    this.node(id);
    this.nodes.delete(id);
  }

  partition(groups: readonly (readonly string[])[]): void {
    this.groups = groups;
    const before = this.network.length;
    this.network = this.network.filter((message) => this.reaches(message.from, message.to));
    if (before > this.network.length)
      this.print(`${before - this.network.length} messages under way are lost`);
  }

  reaches(from: string, to: string): boolean {
    // A bridge is a node that stands in several groups.
    if (this.groups.length === 0) return true;
    return this.groups.some((group) => group.includes(from) && group.includes(to));
  }

  private post(message: Message): void {
    const isLost = !this.reaches(message.from, message.to);
    this.print(`${formatMessage(message)}${isLost ? '  (lost)' : ''}`);
    if (!isLost) this.network.push(message);
  }

  /** Takes messages out of the network: those from, to, of the types, at most `count` of them. */
  take(matches: (message: Message) => boolean, count = Number.POSITIVE_INFINITY): readonly Message[] {
    const taken: Message[] = [];
    this.network = this.network.filter((message) => {
      if (taken.length >= count || !matches(message)) return true;
      taken.push(message);
      return false;
    });
    return taken;
  }

  /** Puts messages under way without showing them again. */
  putBack(messages: readonly Message[]): void {
    this.network.push(...messages);
  }

  get underWay(): readonly Message[] {
    return this.network;
  }

  /** Hands a message to its node, if that runs and the message reaches it. */
  deliver(message: Message): void {
    const node = this.nodes.get(message.to);
    if (!node || !this.reaches(message.from, message.to)) return;
    node.raft.step(message);
    node.settle();
  }

  /** Delivers and writes until nothing is left to do. */
  stabilize(isIncluded: (id: string) => boolean): void {
    for (let round = 0; round < QUIET_ROUNDS_MAX; round += 1) {
      const messages = this.take(({ from, to }) => isIncluded(from) && isIncluded(to));
      const writing = this.all.filter((node) => isIncluded(node.id) && node.writesUnderWay > 0);
      if (messages.length === 0 && writing.length === 0) return;
      for (const message of messages) this.deliver(message);
      for (const node of writing) {
        node.persist(node.writesUnderWay);
        node.settle();
      }
    }
    assert(false, `The cluster does not come to rest within ${QUIET_ROUNDS_MAX} rounds.`);
  }
}
