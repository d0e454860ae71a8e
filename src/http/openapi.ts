import type { FastifyInstance } from 'fastify';
import { type ErrorCode, errorCatalogue } from '../errors.js';
import { DELETED_KEYS_MAX, IDEMPOTENCY_KEY_LENGTH_MAX } from '../kv/types.js';
import * as answers from './answer-schemas.js';
import { integer, type Schema, text } from './answer-schemas.js';
import { compactBody } from './compact-routes.js';
import { endpoint, type HttpContext } from './exchange.js';
import type { JsonBody } from './json-body.js';
import { problemContentType } from './problem.js';
import { Query, queryNames } from './query.js';
import {
  addMemberBody,
  clusterVersionBody,
  grantLeaseBody,
  keepAliveBody,
  lockBody,
  memberIdSchema,
  setMembersBody,
  transferBody,
  unlockBody,
} from './schemas.js';
import { txnBody } from './txn-body.js';

/** Serves the contract in OpenAPI 3.1, as far as this version offers it. */
export function registerOpenApiRoute(app: FastifyInstance, context: HttpContext): void {
  const document = JSON.stringify(openApiDocument);
  const names = queryNames([]);
  app.get(
    '/openapi.json',
    endpoint(context, '/openapi.json', (exchange) => {
      const query = new Query(exchange.target.query, names);
      query.timeoutMs();
      query.redirectNever();
      exchange.sendJson(200, document);
    }),
  );
}

const bytes: Schema = { 'application/octet-stream': {} };

function json(schema: unknown): Schema {
  return { 'application/json': { schema } };
}

function answer(description: string, content?: Schema): Schema {
  return content === undefined ? { description } : { description, content };
}

function inQuery(name: string, schema: unknown, description: string): Schema {
  return { name, in: 'query', schema, description };
}

function inHeader(name: string, description: string, schema: Schema = text): Schema {
  return { name, in: 'header', schema, description };
}

function inPath(name: string, schema: Schema, description: string): Schema {
  return { name, in: 'path', required: true, schema, description };
}

const common = [
  inQuery('timeout', { type: 'string', default: '5s' }, 'How long the request may take: 250ms, 5s, 2m, 1h.'),
  inQuery('redirect', { enum: ['never'] }, 'The node that was asked does the work itself.'),
  inQuery('cluster', text, 'Refuse the request unless this is the id of the cluster.'),
];
const repeatable = inHeader(
  'Idempotency-Key',
  'A repeat of the request under the same key gets the first answer, and changes nothing again.',
  { type: 'string', minLength: 1, maxLength: IDEMPOTENCY_KEY_LENGTH_MAX },
);
const change = [...common, repeatable];
const consistent = [
  ...common,
  inQuery(
    'consistency',
    { enum: ['linearizable', 'lease', 'stale'], default: 'linearizable' },
    'What the read sees.',
  ),
  inQuery('minRevision', integer, 'Wait until the answering node has this revision.'),
];
const read = [...consistent, inQuery('revision', integer, 'Read the past; 0 is the empty store.')];
const plan = inQuery('plan', { type: 'boolean' }, 'Change nothing, and answer with what would happen.');
const force = inQuery('force', { type: 'boolean' }, 'Even if the voters would have no live quorum.');
const ifMatch = inHeader('If-Match', 'Only if the key has this revision: "42". * stands for any revision.');
const ifNoneMatch = inHeader(
  'If-None-Match',
  '*: only if there is no such key; tags: only if the key has none of these revisions.',
);
const key = inPath('key', text, 'Slashes are part of it.');
const member = inPath('id', memberIdSchema, "A member's id.");
const lease = inPath('id', { type: 'string', pattern: '^[1-9][0-9]*$' }, "A lease's id.");
const lock = inPath('name', text, 'Slashes are part of it.');

const problemContent: Schema = { [problemContentType]: { schema: answers.problemDocument } };
const problem = answer(
  `A problem document; "code" is one of ${Object.keys(errorCatalogue).join(', ')}.`,
  problemContent,
);
/** The codes of the catalogue that an operation is known to answer with, each under its status. */
function refusals(codes: readonly ErrorCode[]): Readonly<Record<string, Schema>> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = errorCatalogue[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, same]) => {
      const described = same.map((code) => `${code}: ${errorCatalogue[code].title}.`).join(' ');
      return [String(status), answer(described, problemContent)];
    }),
  );
}

const redirected = {
  '307': answer(
    'not_leader: this node does not lead; the same request goes to the Location.',
    problemContent,
  ),
};
const readRefusals: readonly ErrorCode[] = ['bad_request', 'unavailable', 'no_leader', 'overloaded'];
const writeRefusals: readonly ErrorCode[] = [
  'bad_request',
  'idempotency_mismatch',
  'no_leader',
  'overloaded',
  'no_space',
  'shutting_down',
  'outcome_unknown',
];
const bodyRefusals: readonly ErrorCode[] = [
  ...writeRefusals,
  'request_timeout',
  'value_too_large',
  'transfer_coding_unsupported',
];

/**
 * One operation. Generators of clients name a method by its `operationId`, which stays as it is. Every operation can answer with
 * any problem that concerns every request, such as `internal`.
 */
function operation(
  operationId: string,
  summary: string,
  parameters: readonly Schema[],
  responses: Readonly<Record<string, Schema>>,
  requestBody?: Schema,
): Schema {
  const body = requestBody === undefined ? {} : { requestBody: { content: requestBody } };
  return { operationId, summary, parameters, ...body, responses: { ...responses, default: problem } };
}

function body(kind: JsonBody<unknown>): Schema {
  return json(kind.schema);
}

/** What the change itself answers with, or the plan of it. */
function doneOrPlanned(description: string, result: Schema): Schema {
  return answer(
    `${description}; with plan=true, what would happen`,
    json({ anyOf: [result, answers.membershipPlan] }),
  );
}

const alive = (word: string) => json(answers.object({ status: { const: word } }));

export const openApiDocument = {
  openapi: '3.1.0',
  info: {
    title: 'raftkv',
    version: '1',
    description: 'A replicated key-value store.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [
    { url: '/', description: 'The node that serves this document; any other member answers the same.' },
  ],
  paths: {
    '/v1/kv/{key}': {
      put: operation(
        'putKey',
        'Store a value',
        [
          key,
          ...change,
          ifMatch,
          ifNoneMatch,
          inQuery('ttl', text, 'Delete the key after this time, 1s or longer: it gets a lease of its own.'),
          inQuery('lease', integer, 'Attach the key to this lease.'),
        ],
        {
          '200': answer('Replaced', json(answers.putAnswer)),
          '201': answer('Created', json(answers.putAnswer)),
          ...redirected,
          ...refusals([...bodyRefusals, 'precondition_failed', 'lease_not_found', 'too_many_leases']),
        },
        bytes,
      ),
      get: operation('getKey', 'Read a value', [key, ...read, ifMatch, ifNoneMatch], {
        '200': answer('The bytes that were put, with their Content-Type', bytes),
        '304': answer('Not modified'),
        ...redirected,
        ...refusals([...readRefusals, 'key_not_found', 'compacted', 'precondition_failed']),
      }),
      post: operation(
        'addToKey',
        'Add to a counter: a whole number in decimal text, which a key that does not exist is created with',
        [
          key,
          ...change,
          { ...inQuery('add', { type: 'integer' }, 'How much; it may be negative.'), required: true },
          inQuery('initial', { type: 'integer', default: 0 }, 'What a key that does not exist counts as.'),
        ],
        {
          '200': answer('Added', json(answers.addAnswer)),
          '201': answer('Created', json(answers.addAnswer)),
          ...redirected,
          ...refusals([...writeRefusals, 'not_a_number', 'sum_out_of_range', 'cluster_not_upgraded']),
        },
      ),
      delete: operation('deleteKey', 'Delete a key', [key, ...change, ifMatch, ifNoneMatch], {
        '200': answer('Deleted', json(answers.deleteAnswer)),
        ...redirected,
        ...refusals([...writeRefusals, 'key_not_found', 'precondition_failed']),
      }),
    },
    '/v1/kv': {
      get: operation(
        'listKeys',
        'List keys by pages, in byte order',
        [
          ...read,
          inQuery('prefix', text, 'Only keys that start with it.'),
          inQuery(
            'limit',
            { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
            'Items a page; one also ends at about 1 MiB.',
          ),
          inQuery('cursor', text, '"nextCursor" of the page before; empty for the first.'),
          inQuery('keysOnly', { type: 'boolean' }, 'Leave the values out.'),
        ],
        {
          '200': answer('One page', json(answers.listAnswer)),
          ...redirected,
          ...refusals([...readRefusals, 'compacted']),
        },
      ),
      delete: operation(
        'deletePrefix',
        `Delete every key with a prefix, if they are at most ${DELETED_KEYS_MAX}`,
        [...change, inQuery('prefix', { type: 'string', minLength: 1 }, 'Not empty.')],
        {
          '200': answer('Deleted', json(answers.deleteAnswer)),
          ...redirected,
          ...refusals([...writeRefusals, 'too_many_keys']),
        },
      ),
    },
    '/v1/txn': {
      post: operation(
        'transact',
        'Compare, then do one of two branches, all at one revision; a read where both only get, which alone takes the parameters of one',
        [...read, repeatable],
        {
          '200': answer('Done: the one branch or the other', json(answers.txnAnswer)),
          ...redirected,
          ...refusals([
            ...bodyRefusals,
            'unavailable',
            'compacted',
            'lease_not_found',
            'too_many_leases',
            'too_many_keys',
            'answer_too_large',
            'not_a_number',
            'sum_out_of_range',
            'cluster_not_upgraded',
          ]),
        },
        body(txnBody),
      ),
    },
    '/v1/compact': {
      post: operation(
        'compactHistory',
        'Drop the history before a revision, or all of it; the room returns to the disk in the background',
        change,
        {
          '200': answer('Dropped', json(answers.compactAnswer)),
          ...redirected,
          ...refusals([...bodyRefusals, 'cluster_not_upgraded', 'revision_in_future']),
        },
        body(compactBody),
      ),
    },
    '/v1/watch': {
      get: operation(
        'watch',
        'Follow the changes of a key, or of all keys with a prefix, on the node that was asked',
        [
          ...common,
          inQuery('key', text, 'The key; this or "prefix".'),
          inQuery('prefix', text, 'All keys that start with it; empty for all.'),
          inQuery(
            'fromRevision',
            { type: 'integer', minimum: 1 },
            'Begin with the changes of this revision.',
          ),
          inQuery('previous', { type: 'boolean' }, 'Tell what each key was before, too.'),
          inQuery('minRevision', integer, 'Begin when the answering node has this revision.'),
          inHeader('Last-Event-ID', 'Resume after this event.'),
          inHeader('Accept', 'application/x-ndjson for one JSON object a line.'),
        ],
        {
          '200': answer('Events until the client hangs up: put, delete, progress, error', {
            'text/event-stream': {},
            'application/x-ndjson': {},
          }),
          ...refusals([
            'bad_request',
            'revision_in_future',
            'other_cluster',
            'compacted',
            'overloaded',
            'shutting_down',
            'no_leader',
            'unavailable',
          ]),
        },
      ),
    },
    '/v1/leases': {
      post: operation(
        'grantLease',
        'Grant a lease: when it runs out, the keys that are attached to it are deleted',
        change,
        {
          '201': answer('Granted', json(answers.leaseGranted)),
          ...redirected,
          ...refusals([...bodyRefusals, 'too_many_leases']),
        },
        body(grantLeaseBody),
      ),
      get: operation(
        'listLeases',
        'List leases, in the order of their ids',
        [
          ...consistent,
          inQuery('after', integer, 'Only those with greater ids.'),
          inQuery('limit', { type: 'integer', minimum: 1, maximum: 1000, default: 1000 }, 'At most so many.'),
        ],
        { '200': answer('Leases', json(answers.leasesListed)), ...redirected, ...refusals(readRefusals) },
      ),
    },
    '/v1/leases/{id}': {
      get: operation('getLease', 'A lease, and the first 1,000 of its keys', [lease, ...consistent], {
        '200': answer('The lease', json(answers.leaseShown)),
        ...redirected,
        ...refusals([...readRefusals, 'lease_not_found']),
      }),
      delete: operation('revokeLease', 'Revoke a lease, and delete its keys', [lease, ...change], {
        '200': answer('Revoked', json(answers.leaseRevoked)),
        ...redirected,
        ...refusals([...writeRefusals, 'lease_not_found']),
      }),
    },
    '/v1/leases/{id}/keepalive': {
      post: operation(
        'keepLeaseAlive',
        'Let a lease begin anew',
        [lease, ...change],
        {
          '200': answer('It begins anew', json(answers.leaseGranted)),
          ...redirected,
          ...refusals([...bodyRefusals, 'lease_not_found']),
        },
        body(keepAliveBody),
      ),
    },
    '/v1/locks/{name}': {
      post: operation(
        'acquireLock',
        'Take a lock, or stand in line for it',
        [lock, ...change],
        {
          '200': answer('Taken; the token is greater for every later holder', json(answers.lockTaken)),
          ...redirected,
          ...refusals([...bodyRefusals, 'lock_held', 'lock_not_held', 'too_many_leases']),
        },
        body(lockBody),
      ),
      get: operation('getLock', 'Who holds a lock', [lock, ...consistent], {
        '200': answer('Held or free', json(answers.lockShown)),
        ...redirected,
        ...refusals(readRefusals),
      }),
      delete: operation(
        'releaseLock',
        'Give a lock back',
        [lock, ...change, inQuery('token', { type: 'integer', minimum: 1 }, 'What taking it gave.')],
        {
          '200': answer('Given back', json(answers.lockReleased)),
          ...redirected,
          ...refusals([...bodyRefusals, 'lock_not_held']),
        },
        body(unlockBody),
      ),
    },
    '/v1/status': {
      get: operation('getStatus', 'How this node sees itself and the cluster', common, {
        '200': answer('Status', json(answers.status)),
      }),
    },
    '/v1/members': {
      get: operation('listMembers', 'The members', common, {
        '200': answer('Members', json(answers.membersListed)),
      }),
      post: operation(
        'addMember',
        'Add a learner, which is promoted by itself',
        [...common, plan],
        {
          '200': doneOrPlanned('A member already', answers.memberAdded),
          '201': answer('Added', json(answers.memberAdded)),
          ...redirected,
          ...refusals(['bad_request', 'member_exists', 'change_in_progress', 'no_leader', 'outcome_unknown']),
        },
        body(addMemberBody),
      ),
      put: operation(
        'setMembers',
        'Make these the voters, at once, and remove all others',
        [...common, plan, force],
        {
          '200': doneOrPlanned('They are', answers.membersSet),
          ...redirected,
          ...refusals([
            'bad_request',
            'member_not_ready',
            'member_exists',
            'quorum_at_risk',
            'change_in_progress',
            'no_leader',
            'outcome_unknown',
          ]),
        },
        body(setMembersBody),
      ),
    },
    '/v1/members/{id}': {
      delete: operation('removeMember', 'Remove a member', [member, ...common, plan, force], {
        '200': doneOrPlanned('Removed', answers.memberRemoved),
        ...redirected,
        ...refusals([
          'bad_request',
          'member_not_found',
          'quorum_at_risk',
          'change_in_progress',
          'no_leader',
          'outcome_unknown',
        ]),
      }),
    },
    '/v1/members/{id}/promote': {
      post: operation('promoteMember', 'Make a learner a voter', [member, ...common, plan], {
        '200': doneOrPlanned('Promoted', answers.memberPromoted),
        ...redirected,
        ...refusals([
          'bad_request',
          'member_not_found',
          'change_in_progress',
          'no_leader',
          'outcome_unknown',
        ]),
      }),
    },
    '/v1/cluster-version': {
      get: operation(
        'getClusterVersion',
        'The cluster version, and how far the cluster is on its way to the next',
        common,
        {
          '200': answer(
            'The version in force, and what each member speaks',
            json(answers.clusterVersionShown),
          ),
        },
      ),
      put: operation(
        'raiseClusterVersion',
        'Move the cluster to a version now, which locks older programs out for good',
        common,
        {
          '200': answer('The version in force', json(answers.clusterVersionRaised)),
          ...refusals([...bodyRefusals, 'cluster_not_upgraded']),
        },
        body(clusterVersionBody),
      ),
    },
    '/v1/cluster-version/hold': {
      put: operation(
        'holdClusterVersion',
        'Stop the leader from moving the cluster to the next version by itself',
        common,
        {
          '200': answer('Held', json(answers.clusterVersionHeld)),
          ...refusals(writeRefusals),
        },
      ),
      delete: operation(
        'releaseClusterVersion',
        'Let the leader move the cluster to the next version',
        common,
        {
          '200': answer('Not held', json(answers.clusterVersionHeld)),
          ...refusals(writeRefusals),
        },
      ),
    },
    '/v1/leader': {
      post: operation(
        'transferLeadership',
        'Hand leadership over',
        common,
        {
          '200': answer('The new leader', json(answers.leaderMoved)),
          ...redirected,
          ...refusals(['bad_request', 'member_not_found', 'no_leader', 'unavailable']),
        },
        body(transferBody),
      ),
    },
    '/healthz': {
      get: operation('getHealth', 'Liveness', common, { '200': answer('Alive', alive('alive')) }),
    },
    '/readyz': {
      get: operation('getReadiness', 'Readiness', common, {
        '200': answer('Ready', alive('ready')),
        ...refusals(['not_ready', 'shutting_down']),
      }),
    },
    '/metrics': {
      get: operation('getMetrics', 'Metrics for Prometheus', common, {
        '200': answer('Text', { 'text/plain': {} }),
      }),
    },
    '/openapi.json': {
      get: operation('getOpenApi', 'This document', common, {
        '200': answer('OpenAPI 3.1', json({ type: 'object' })),
      }),
    },
  },
};
