import { clientUrl, isWildcard, parseHostAndPort } from '../addresses.js';
import { clientUrlPattern, hostAndPortPattern, incarnationPattern, nodeIdPattern } from '../config.js';
import { RaftkvError } from '../errors.js';
import { jsonBody } from './json-body.js';
import type { MemberAddress } from './port.js';

/** The bodies of requests, and what a schema cannot say of them. */

const memberIdWords = "a member's id: letters, digits, dots, hyphens and underscores, at most 63";

export const memberIdSchema = {
  type: 'string',
  pattern: nodeIdPattern,
  description: memberIdWords,
} as const;

const peerSchema = {
  type: 'string',
  pattern: hostAndPortPattern,
  description: 'HOST:PORT of its peer address',
} as const;

export const addMemberBody = jsonBody(
  {
    type: 'object',
    properties: {
      id: memberIdSchema,
      peer: peerSchema,
      client: {
        type: 'string',
        pattern: `^$|${clientUrlPattern}`,
        description: 'its client URL, http://HOST:PORT',
      },
      incarnation: {
        type: 'string',
        pattern: incarnationPattern,
        description: 'the id of its data directory, made by itself',
      },
    },
    required: ['id', 'peer'],
    additionalProperties: false,
  },
  '{"id":"n4","peer":"10.0.0.4:7101"}',
);

export const setMembersBody = jsonBody(
  {
    type: 'object',
    properties: {
      members: {
        type: 'array',
        items: {
          type: 'object',
          properties: { id: memberIdSchema, peer: peerSchema },
          required: ['id', 'peer'],
          additionalProperties: false,
        },
        minItems: 1,
        description: 'a list of the voters, that is not empty',
      },
    },
    required: ['members'],
    additionalProperties: false,
  },
  '{"members":[{"id":"n1","peer":"10.0.0.1:7101"}]}',
);

export const transferBody = jsonBody(
  { type: 'object', properties: { to: memberIdSchema }, additionalProperties: false },
  '{"to":"n2"}',
);

export const clusterVersionBody = jsonBody(
  {
    type: 'object',
    properties: {
      clusterVersion: {
        type: 'integer',
        minimum: 1,
        description: 'the cluster version to move to, such as 2',
      },
    },
    required: ['clusterVersion'],
    additionalProperties: false,
  },
  '{"clusterVersion":2}',
);

/** A lease lives between a second and a year; a fraction of a millisecond would say nothing. */
export const TTL_SECONDS_MAX = 31_536_000;

export const ttlSecondsSchema = {
  type: 'number',
  minimum: 1,
  maximum: TTL_SECONDS_MAX,
  description: `a number of seconds from 1 to ${TTL_SECONDS_MAX}`,
} as const;

export const grantLeaseBody = jsonBody(
  {
    type: 'object',
    properties: { ttlSeconds: ttlSecondsSchema },
    required: ['ttlSeconds'],
    additionalProperties: false,
  },
  '{"ttlSeconds":30}',
);

export const keepAliveBody = jsonBody(
  { type: 'object', properties: { ttlSeconds: ttlSecondsSchema }, additionalProperties: false },
  '{"ttlSeconds":30}, or none',
);

/** Longer waits would outlive what connections and proxies in between allow; a client asks again. */
export const LOCK_WAIT_SECONDS_MAX = 3_600;

export const lockBody = jsonBody(
  {
    type: 'object',
    properties: {
      ttlSeconds: ttlSecondsSchema,
      waitSeconds: {
        type: 'number',
        minimum: 0,
        maximum: LOCK_WAIT_SECONDS_MAX,
        description: `a number of seconds from 0 to ${LOCK_WAIT_SECONDS_MAX}`,
      },
      value: {
        type: 'string',
        maxLength: 4_096,
        description: 'a text of at most 4096 characters that says who holds the lock',
      },
    },
    required: ['ttlSeconds'],
    additionalProperties: false,
  },
  '{"ttlSeconds":30,"waitSeconds":10}',
);

export const unlockBody = jsonBody(
  {
    type: 'object',
    properties: {
      token: { type: 'integer', minimum: 1, description: 'the fencing token that taking the lock gave' },
    },
    additionalProperties: false,
  },
  '{"token":42}',
);

/** Checks a body against {@link setMembersBody}, and that every member has an id and an address of its own. */
export function checkMembers(body: unknown): readonly MemberAddress[] {
  const { members } = setMembersBody.check(body);
  for (const { peer } of members) checkMemberAddresses(peer, '');
  for (const name of ['id', 'peer'] as const) {
    const values = members.map((member) => member[name]);
    const twice = values.find((value, position) => values.indexOf(value) < position);
    if (twice === undefined) continue;
    throw new RaftkvError(
      'bad_request',
      `The body does not fit: ${twice} is named twice. Name each member once, with an address of its own.`,
    );
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

const memberId = new RegExp(nodeIdPattern);

export function checkMemberId(id: string): string {
  if (memberId.test(id)) return id;
  throw new RaftkvError('bad_request', `The path must name ${memberIdWords}.`);
}
