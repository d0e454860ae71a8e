import { clientUrlPattern, hostAndPortPattern, incarnationPattern, nodeIdPattern } from './names.js';
import {
  type Configuration,
  type Entry,
  EntryKind,
  type Member,
  type NodeId,
  type SnapshotMetadata,
} from './types.js';

/** The version of the format below; a newer one is refused, so that a downgrade never misreads a configuration. */
const FORMAT_VERSION = 1;

/** The configuration of a node that has not heard of any: it can neither vote for itself nor lead. */
export const emptyConfiguration: Configuration = {
  members: [],
  voters: [],
  outgoingVoters: [],
  learners: [],
};

/** A configuration of these members, all of them voters. Members are sorted, so equal sets are equal values. */
export function configurationOfVoters(members: readonly Member[]): Configuration {
  const sorted = sortMembers(members);
  return { members: sorted, voters: sorted.map((member) => member.id), outgoingVoters: [], learners: [] };
}

export function memberOf(configuration: Configuration, id: NodeId): Member | undefined {
  return configuration.members.find((member) => member.id === id);
}

export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return configuration.voters.includes(id) || configuration.outgoingVoters.includes(id);
}

/** Whether it is a voter for as long as the joint configuration lasts, and no longer. */
export function isLeaving({ voters, outgoingVoters }: Configuration, id: NodeId): boolean {
  return outgoingVoters.includes(id) && !voters.includes(id);
}

/** Whether two sets of voters decide together, because one is being replaced by the other (joint consensus, §6). */
export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoingVoters.length > 0;
}

/** Everybody who is asked for a vote: the voters, and in joint consensus the outgoing ones as well. */
export function allVoters({ voters, outgoingVoters }: Configuration): readonly NodeId[] {
  return [...new Set([...voters, ...outgoingVoters])];
}

export function isLearner(configuration: Configuration, id: NodeId): boolean {
  return configuration.learners.includes(id);
}

/** Whether an answer of this incarnation of `id` counts (architecture: identity and bootstrap). */
export function knowsIncarnation(configuration: Configuration, id: NodeId, incarnation: string): boolean {
  return memberOf(configuration, id)?.incarnation === incarnation;
}

/**
 * One change of one server at a time (thesis §4.1), where the majorities before and after always overlap; or any number of
 * voters at once, by way of a joint configuration (§6, thesis §4.3).
 */
export type ConfigurationChange =
  | { readonly kind: 'addLearner'; readonly member: Member }
  | { readonly kind: 'promote'; readonly id: NodeId }
  | { readonly kind: 'remove'; readonly id: NodeId }
  /** The same member at another address, or an incarnation heard of for the first time. */
  | { readonly kind: 'updateMember'; readonly member: Member }
  /**
   * These members are to be the voters, and all others are to leave: enters the joint configuration, which
   * {@link leaveJoint} ends. A learner that is not among them counts for nothing and so leaves at once.
   */
  | { readonly kind: 'replaceVoters'; readonly voters: readonly NodeId[] };

/** The configuration after the change, or a sentence that says why the change makes no sense. */
export function applyChange(
  configuration: Configuration,
  change: ConfigurationChange,
): Configuration | string {
  const { members, voters, learners } = configuration;
  if (isJoint(configuration)) return 'The voters are being replaced already.';
  switch (change.kind) {
    case 'addLearner': {
      if (memberOf(configuration, change.member.id)) return `${change.member.id} is a member already.`;
      return {
        ...configuration,
        members: sortMembers([...members, change.member]),
        learners: [...learners, change.member.id].sort(),
      };
    }
    case 'promote': {
      if (!isLearner(configuration, change.id)) return `${change.id} is not a learner.`;
      return {
        ...configuration,
        voters: [...voters, change.id].sort(),
        learners: learners.filter((id) => id !== change.id),
      };
    }
    case 'remove': {
      if (!memberOf(configuration, change.id)) return `${change.id} is not a member.`;
      const left = voters.filter((id) => id !== change.id);
      if (left.length === 0) return `${change.id} is the last voter.`;
      return {
        ...configuration,
        members: members.filter((member) => member.id !== change.id),
        voters: left,
        learners: learners.filter((id) => id !== change.id),
      };
    }
    case 'updateMember': {
      const known = memberOf(configuration, change.member.id);
      if (!known) return `${change.member.id} is not a member.`;
      if (known.incarnation !== '' && known.incarnation !== change.member.incarnation) {
        return `${change.member.id} is bound to another incarnation.`;
      }
      return {
        ...configuration,
        members: sortMembers([...members.filter((member) => member.id !== change.member.id), change.member]),
      };
    }
    case 'replaceVoters': {
      const incoming = [...new Set(change.voters)].sort();
      if (incoming.length === 0) return 'A cluster needs at least one voter.';
      const stranger = incoming.find((id) => !memberOf(configuration, id));
      if (stranger !== undefined) return `${stranger} is not a member.`;
      const staying = new Set([...incoming, ...voters]);
      if (staying.size === incoming.length && incoming.length === voters.length && learners.length === 0) {
        return `${incoming.join(', ')} are the voters already.`;
      }
      return {
        members: members.filter((member) => staying.has(member.id)),
        voters: incoming,
        outgoingVoters: voters,
        learners: [],
      };
    }
  }
}

/** The voters and learners in words, such as `the voters n1, n2, n3`. */
export function describeConfiguration({ voters, outgoingVoters, learners }: Configuration): string {
  return (
    `the voters ${voters.join(', ')}` +
    `${outgoingVoters.length > 0 ? ` jointly with the outgoing ${outgoingVoters.join(', ')}` : ''}` +
    `${learners.length > 0 ? ` and the learners ${learners.join(', ')}` : ''}`
  );
}

/** The configuration that ends a joint one: the outgoing voters that are nothing else are no members any more (§6). */
export function leaveJoint(configuration: Configuration): Configuration {
  const { members, voters, learners } = configuration;
  return {
    members: members.filter(({ id }) => voters.includes(id) || learners.includes(id)),
    voters,
    outgoingVoters: [],
    learners,
  };
}

/** The bytes of a configuration entry: JSON, so that a person can read a dumped log. Equal values give equal bytes. */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const members = sortMembers(configuration.members).map((member) => ({
    id: member.id,
    incarnation: member.incarnation,
    peerAddress: member.peerAddress,
    clientUrl: member.clientUrl,
  }));
  const { voters, outgoingVoters, learners } = configuration;
  return new TextEncoder().encode(
    JSON.stringify({ version: FORMAT_VERSION, members, voters, outgoingVoters, learners }),
  );
}

/** Encoded, about 2,000 members with the longest names and addresses. */
const CONFIGURATION_BYTES_MAX = 1024 * 1024;

const nodeId = new RegExp(nodeIdPattern);
const incarnationText = new RegExp(incarnationPattern);
const hostAndPort = new RegExp(hostAndPortPattern);
const url = new RegExp(`^$|${clientUrlPattern}`);

/**
 * Reads what {@link encodeConfiguration} wrote, from disk or from a peer. Throws an Error that names a newer format or what
 * is wrong. Whoever is named as a voter or a learner is a member, and each member is named once.
 */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  if (bytes.length > CONFIGURATION_BYTES_MAX) throw malformed(`it has ${bytes.length} bytes`);
  const value = parse(bytes);
  if (value.version !== FORMAT_VERSION) {
    throw new Error(
      `The configuration has format ${String(value.version)}; this version of raftkv reads format ${FORMAT_VERSION}.`,
    );
  }
  if (!Array.isArray(value.members)) throw malformed('it has no list of members');
  const members = value.members.map(readMember);
  const ids = new Set(members.map(({ id }) => id));
  if (ids.size < members.length) throw malformed('it names a member twice');
  const voters = readIds(value.voters, ids, 'voters');
  const outgoingVoters = readIds(value.outgoingVoters, ids, 'outgoing voters');
  const learners = readIds(value.learners, ids, 'learners');
  if (learners.some((id) => voters.includes(id))) throw malformed('it has a learner that is a voter');
  return { members, voters, outgoingVoters, learners };
}

/** An object of which nothing is known but the names that it should have. */
type Unchecked<Shape> = { readonly [Name in keyof Shape]?: unknown };

function parse(bytes: Uint8Array): Unchecked<Configuration & { version: number }> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw malformed('it is not JSON in UTF-8');
  }
  if (!isObject(value)) throw malformed('it is not a JSON object');
  return value;
}

function readMember(value: Unchecked<Member> | null): Member {
  if (!isObject(value)) throw malformed('it has a member that is not an object');
  return {
    id: readText(value.id, nodeId, 'id'),
    incarnation: readText(value.incarnation, incarnationText, 'incarnation'),
    peerAddress: readText(value.peerAddress, hostAndPort, 'peer address'),
    clientUrl: readText(value.clientUrl, url, 'client URL'),
  };
}

function readText(value: unknown, pattern: RegExp, what: string): string {
  if (typeof value === 'string' && pattern.test(value)) return value;
  throw malformed(`it has a member whose ${what} does not look like one`);
}

function readIds(value: unknown, members: ReadonlySet<NodeId>, what: string): readonly NodeId[] {
  if (!Array.isArray(value)) throw malformed(`it has no list of ${what}`);
  const ids: readonly NodeId[] = value;
  if (new Set(ids).size < ids.length) throw malformed(`it names one of its ${what} twice`);
  if (!ids.every((id) => members.has(id))) throw malformed(`it has ${what} that are no members`);
  return ids;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(what: string): Error {
  return new Error(`The configuration is malformed: ${what}.`);
}

function sortMembers(members: readonly Member[]): readonly Member[] {
  return [...members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** The newest in a log, committed or not (§6). */
export function lastConfiguration(log: {
  readonly compacted: SnapshotMetadata;
  readonly entries: readonly Entry[];
}): Configuration {
  const last = log.entries.findLast(({ kind }) => kind === EntryKind.configuration);
  return last === undefined ? log.compacted.configuration : decodeConfiguration(last.payload);
}
