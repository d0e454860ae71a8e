import { assert } from '../assert.js';
import type { Configuration, Member, NodeId } from './types.js';

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

export function isLearner(configuration: Configuration, id: NodeId): boolean {
  return configuration.learners.includes(id);
}

/** Whether an answer of this incarnation of `id` counts (architecture: identity and bootstrap). */
export function knowsIncarnation(configuration: Configuration, id: NodeId, incarnation: string): boolean {
  return memberOf(configuration, id)?.incarnation === incarnation;
}

/** One change of one server at a time (thesis §4.1): the majorities before and after always overlap. */
export type ConfigurationChange =
  | { readonly kind: 'addLearner'; readonly member: Member }
  | { readonly kind: 'promote'; readonly id: NodeId }
  | { readonly kind: 'remove'; readonly id: NodeId }
  /** The same member at another address, or an incarnation heard of for the first time. */
  | { readonly kind: 'updateMember'; readonly member: Member };

/** The configuration after the change, or a sentence that says why the change makes no sense. */
export function applyChange(
  configuration: Configuration,
  change: ConfigurationChange,
): Configuration | string {
  const { members, voters, learners } = configuration;
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
  }
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

/** Reads what {@link encodeConfiguration} wrote. Throws an Error that names a newer format or a malformed one. */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const value = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Configuration> & { version?: number };
  if (value.version !== FORMAT_VERSION) {
    throw new Error(
      `The configuration has format ${value.version}; this version of raftkv reads format ${FORMAT_VERSION}.`,
    );
  }
  const { members, voters, outgoingVoters, learners } = value;
  assert(
    Array.isArray(members) &&
      Array.isArray(voters) &&
      Array.isArray(outgoingVoters) &&
      Array.isArray(learners),
    'A configuration has members, voters, outgoing voters and learners.',
  );
  return { members, voters, outgoingVoters, learners };
}

function sortMembers(members: readonly Member[]): readonly Member[] {
  return [...members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}
