import { clientUrl, isWildcard, parseHostAndPort } from '../addresses.js';
import { clientUrlPattern, hostAndPortPattern, nodeIdPattern } from '../config.js';
import { RaftkvError } from '../errors.js';
import type { MemberAddress } from './port.js';

/** An object of texts, in the words of JSON Schema: all that the bodies of this API need. */
interface BodySchema<Name extends string> {
  readonly type: 'object';
  readonly properties: Readonly<Record<Name, TextSchema>>;
  readonly required: readonly Name[];
  readonly additionalProperties: false;
}

interface TextSchema {
  readonly type: 'string';
  readonly pattern: string;
  readonly description: string;
}

const memberIdWords = "a member's id: letters, digits, dots, hyphens and underscores, at most 63";

export const memberIdSchema: TextSchema = text(nodeIdPattern, memberIdWords);

export const addMemberSchema: BodySchema<'id' | 'peer' | 'client' | 'incarnation'> = {
  type: 'object',
  properties: {
    id: memberIdSchema,
    peer: text(hostAndPortPattern, 'HOST:PORT of its peer address'),
    client: text(`^$|${clientUrlPattern}`, 'its client URL, http://HOST:PORT'),
    incarnation: text('^[A-Za-z0-9_-]{0,64}$', 'the id of its data directory, made by itself'),
  },
  required: ['id', 'peer'],
  additionalProperties: false,
};

export const memberAddressSchema: BodySchema<'id' | 'peer'> = {
  type: 'object',
  properties: { id: memberIdSchema, peer: text(hostAndPortPattern, 'HOST:PORT of its peer address') },
  required: ['id', 'peer'],
  additionalProperties: false,
};

export const setMembersSchema = {
  type: 'object',
  properties: { members: { type: 'array', items: memberAddressSchema, minItems: 1 } },
  required: ['members'],
  additionalProperties: false,
} as const;

export const transferSchema: BodySchema<'to'> = {
  type: 'object',
  properties: { to: memberIdSchema },
  required: [],
  additionalProperties: false,
};

const memberId = new RegExp(nodeIdPattern);

function text(pattern: string, description: string): TextSchema {
  return { type: 'string', pattern, description };
}

/**
 * Checks a body against its schema and returns its members. A validator library is not used: loading one takes longer
 * than everything else that a node does before it answers.
 *
 * @param example A body that fits, for the error's text.
 */
export function checkBody<Name extends string>(
  schema: BodySchema<Name>,
  body: unknown,
  example: string,
): Partial<Record<Name, string>> {
  const wrong = (reason: string) =>
    new RaftkvError('bad_request', `The body does not fit: ${reason}. Send JSON such as ${example}.`);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw wrong('it is not an object');
  const names = Object.keys(schema.properties) as Name[];
  const members: Partial<Record<Name, string>> = {};
  for (const [given, value] of Object.entries(body)) {
    const name = names.find((candidate) => candidate === given);
    if (name === undefined) throw wrong(`the member ${JSON.stringify(given)} is not known`);
    const { pattern, description } = schema.properties[name];
    if (typeof value !== 'string' || !new RegExp(pattern).test(value)) {
      throw wrong(`"${name}" must be a text: ${description}`);
    }
    members[name] = value;
  }
  const missing = schema.required.find((name) => members[name] === undefined);
  if (missing !== undefined)
    throw wrong(`"${missing}" is missing: ${schema.properties[missing].description}`);
  return members;
}

/** Checks a body against {@link setMembersSchema}, and that every member has an id and an address of its own. */
export function checkMembers(body: unknown): readonly MemberAddress[] {
  const example = '{"members":[{"id":"n1","peer":"10.0.0.1:7101"}]}';
  const wrong = (reason: string) =>
    new RaftkvError('bad_request', `The body does not fit: ${reason}. Send JSON such as ${example}.`);
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw wrong('it is not an object');
  const unknown = Object.keys(body).find((name) => name !== 'members');
  if (unknown !== undefined) throw wrong(`the member ${JSON.stringify(unknown)} is not known`);
  const given: unknown = 'members' in body ? body.members : undefined;
  if (!Array.isArray(given) || given.length === 0) throw wrong('"members" must be a list that is not empty');
  const members = given.map((member: unknown) => {
    const { id = '', peer = '' } = checkBody(memberAddressSchema, member, example);
    checkMemberAddresses(peer, '');
    return { id, peer };
  });
  for (const name of ['id', 'peer'] as const) {
    const values = members.map((member) => member[name]);
    const twice = values.find((value, position) => values.indexOf(value) < position);
    if (twice !== undefined) throw wrong(`${twice} is named twice`);
  }
  return members;
}

/** What a pattern cannot say of the addresses of a new member: the others would try them, and clients be sent there, in vain. */
export function checkMemberAddresses(peer: string, client: string): void {
  const peerHost = parseHostAndPort(peer)?.host;
  if (peerHost === undefined) throw impossible('peer', 'a port from 1 to 65535');
  if (isWildcard(peerHost)) throw impossible('peer', 'a host that the other members can connect to');
  if (client === '') return;
  const clientHost = clientUrl(client)?.host;
  if (clientHost === undefined) throw impossible('client', 'a port from 1 to 65535');
  if (isWildcard(clientHost)) throw impossible('client', 'a host that clients can connect to');
}

function impossible(name: string, what: string): RaftkvError {
  return new RaftkvError(
    'bad_request',
    `"${name}" cannot be reached by anybody: it needs ${what}. Correct it.`,
  );
}

export function checkMemberId(id: string): string {
  if (memberId.test(id)) return id;
  throw new RaftkvError('bad_request', `The path must name ${memberIdWords}.`);
}
