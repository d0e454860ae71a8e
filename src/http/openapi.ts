import type { FastifyInstance } from 'fastify';
import { errorCatalogue } from '../errors.js';
import { DELETED_KEYS_MAX } from '../kv/types.js';
import { endpoint, type HttpContext } from './exchange.js';
import { problemContentType } from './problem.js';
import { Query, queryNames } from './query.js';
import { addMemberSchema, memberIdSchema, setMembersSchema, transferSchema } from './schemas.js';

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

type Schema = Readonly<Record<string, unknown>>;

const integer: Schema = { type: 'integer', minimum: 0 };
const text: Schema = { type: 'string' };
const bytes = { 'application/octet-stream': {} };

function object(properties: Readonly<Record<string, unknown>>): Schema {
  return { type: 'object', properties };
}

function json(schema: unknown): Schema {
  return { 'application/json': { schema } };
}

function answer(description: string, content?: Schema): Schema {
  return content === undefined ? { description } : { description, content };
}

function inQuery(name: string, schema: unknown, description: string): Schema {
  return { name, in: 'query', schema, description };
}

function inHeader(name: string, description: string): Schema {
  return { name, in: 'header', schema: text, description };
}

const common = [
  inQuery('timeout', { type: 'string', default: '5s' }, 'How long the request may take: 250ms, 5s, 2m, 1h.'),
  inQuery('redirect', { enum: ['never'] }, 'The node that was asked does the work itself.'),
];
const read = [
  ...common,
  inQuery(
    'consistency',
    { enum: ['linearizable', 'lease', 'stale'], default: 'linearizable' },
    'What the read sees.',
  ),
  inQuery('minRevision', integer, 'Wait until the answering node has this revision.'),
  inQuery('revision', integer, 'Read the past; 0 is the empty store.'),
];
const plan = inQuery('plan', { type: 'boolean' }, 'Change nothing, and answer with what would happen.');
const force = inQuery('force', { type: 'boolean' }, 'Even if the voters would have no live quorum.');
const ifMatch = inHeader('If-Match', 'Only if the key has this revision: "42".');
const ifNoneMatch = inHeader('If-None-Match', '* on a write: only if there is no such key. On a read: tags.');
const key = { name: 'key', in: 'path', required: true, schema: text, description: 'Slashes are part of it.' };
const id = { name: 'id', in: 'path', required: true, schema: memberIdSchema };

const problem: Schema = {
  description: `A problem document; "code" is one of ${Object.keys(errorCatalogue).join(', ')}.`,
  content: {
    [problemContentType]: {
      schema: object({ type: text, title: text, status: integer, code: text, detail: text }),
    },
  },
};
const redirected = answer('This node does not lead; the same request goes to the Location.');

/** One operation. All of them can answer with a problem, and all but local ones with a redirect. */
function operation(
  summary: string,
  parameters: readonly Schema[],
  responses: Readonly<Record<string, Schema>>,
  requestBody?: Schema,
): Schema {
  const body = requestBody === undefined ? {} : { requestBody: { content: requestBody } };
  return { summary, parameters, ...body, responses: { ...responses, default: problem } };
}

const item = object({
  key: text,
  keyBase64: text,
  value: text,
  valueBase64: text,
  createRevision: integer,
  modRevision: integer,
  version: integer,
  contentType: text,
});
const putResult = json(
  object({ key: text, keyBase64: text, revision: integer, created: { type: 'boolean' } }),
);
const ids: Schema = { type: 'array', items: text };
const membership = object({ voters: ids, learners: ids, quorum: integer, faultTolerance: integer });
const setMembersResult = object({ voters: ids, added: ids, removed: ids });
const membershipPlan = object({
  before: membership,
  after: membership,
  liveVotersAfter: ids,
  steps: { type: 'array', items: object({ step: text, members: ids, description: text }) },
  warnings: { type: 'array', items: text },
});
/** What the change itself answers with 200, or the plan of it. */
function doneOrPlanned(description: string, result: Schema = object({})): Schema {
  return answer(
    `${description}; with plan=true, what would happen`,
    json({ anyOf: [result, membershipPlan] }),
  );
}
const deleteResult = json(object({ revision: integer, deleted: integer }));

export const openApiDocument = {
  openapi: '3.1.0',
  info: { title: 'raftkv', version: '1', description: 'A replicated key-value store.' },
  paths: {
    '/v1/kv/{key}': {
      put: operation(
        'Store a value',
        [key, ...common, ifMatch, ifNoneMatch],
        { '200': answer('Replaced', putResult), '201': answer('Created', putResult), '307': redirected },
        bytes,
      ),
      get: operation('Read a value', [key, ...read, ifMatch, ifNoneMatch], {
        '200': answer('The bytes that were put, with their Content-Type', bytes),
        '304': answer('Not modified'),
        '307': redirected,
      }),
      delete: operation('Delete a key', [key, ...common, ifMatch, ifNoneMatch], {
        '200': answer('Deleted', deleteResult),
        '307': redirected,
      }),
    },
    '/v1/kv': {
      get: operation(
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
          '200': answer(
            'One page',
            json(object({ revision: integer, items: { type: 'array', items: item }, nextCursor: text })),
          ),
          '307': redirected,
        },
      ),
      delete: operation(
        `Delete every key with a prefix, if they are at most ${DELETED_KEYS_MAX}`,
        [...common, inQuery('prefix', { type: 'string', minLength: 1 }, 'Not empty.')],
        {
          '200': answer('Deleted', deleteResult),
          '307': redirected,
          '409': { ...problem, description: 'Code too_many_keys: nothing was deleted; delete in parts.' },
        },
      ),
    },
    '/v1/status': {
      get: operation('How this node sees itself and the cluster', common, {
        '200': answer('Status', json(object({}))),
      }),
    },
    '/v1/members': {
      get: operation('The members', common, { '200': answer('Members', json(object({}))) }),
      post: operation(
        'Add a learner, which is promoted by itself',
        [...common, plan],
        { '200': doneOrPlanned('A member already'), '201': answer('Added'), '307': redirected },
        json(addMemberSchema),
      ),
      put: operation(
        'Make these the voters, at once, and remove all others',
        [...common, plan, force],
        {
          '200': doneOrPlanned('They are', setMembersResult),
          '307': redirected,
          '409': {
            ...problem,
            description:
              'Code member_not_ready: a new member did not come in time, and the voters are what they were.',
          },
        },
        json(setMembersSchema),
      ),
    },
    '/v1/members/{id}': {
      delete: operation('Remove a member', [id, ...common, plan, force], {
        '200': doneOrPlanned('Removed'),
        '307': redirected,
      }),
    },
    '/v1/members/{id}/promote': {
      post: operation('Make a learner a voter', [id, ...common, plan], {
        '200': doneOrPlanned('Promoted'),
        '307': redirected,
      }),
    },
    '/v1/leader': {
      post: operation(
        'Hand leadership over',
        common,
        { '200': answer('The new leader'), '307': redirected },
        json(transferSchema),
      ),
    },
    '/healthz': { get: operation('Liveness', [], { '200': answer('Alive') }) },
    '/readyz': { get: operation('Readiness', [], { '200': answer('Ready') }) },
    '/metrics': { get: operation('Metrics for Prometheus', [], { '200': answer('Text') }) },
    '/openapi.json': { get: operation('This document', common, { '200': answer('OpenAPI 3.1') }) },
  },
};
