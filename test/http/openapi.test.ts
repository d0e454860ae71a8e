import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { InjectOptions } from 'fastify';
import { describe, expect, it } from 'vitest';
import { errorCatalogue } from '../../src/errors.js';
import { openApiDocument } from '../../src/http/openapi.js';
import { serve } from './kit.js';

interface Documented {
  readonly operationId: string;
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly content?: Record<string, { readonly schema?: object }> }
    >
  >;
}

type Operations = Readonly<Record<string, Readonly<Record<string, Documented>>>>;
const paths = openApiDocument.paths as unknown as Operations;
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, documented]) => ({ name: `${method} ${path}`, documented })),
);

/** For each operation, requests whose answers together show most of what it can say, in this order. */
const examples: Readonly<Record<string, readonly InjectOptions[]>> = {
  'put /v1/kv/{key}': [
    { url: '/v1/kv/new' },
    { url: '/v1/kv/a?ttl=5s', payload: 'x' },
    { url: '/v1/kv/%FF', payload: 'x' },
    { url: '/v1/kv/a?lease=99' },
    { url: '/v1/kv/a', headers: { 'if-match': '"99"' } },
    { url: '/v1/kv/a', payload: 'x'.repeat(1_001) },
    { url: '/v1/kv/' },
  ],
  'get /v1/kv/{key}': [
    { url: '/v1/kv/a' },
    { url: '/v1/kv/none' },
    { url: '/v1/kv/a', headers: { 'if-none-match': '*' } },
    { url: '/v1/kv/a?revision=999' },
  ],
  'post /v1/kv/{key}': [
    { url: '/v1/kv/n?add=1' },
    { url: '/v1/kv/n?add=-2' },
    { url: '/v1/kv/a?add=1' },
    { url: '/v1/kv/n' },
  ],
  'post /v1/compact': [
    { url: '/v1/compact', payload: '{"revision":1}' },
    { url: '/v1/compact', payload: '1' },
  ],
  'delete /v1/kv/{key}': [{ url: '/v1/kv/b' }, { url: '/v1/kv/none' }],
  'get /v1/kv': [{ url: '/v1/kv' }, { url: '/v1/kv?limit=1' }, { url: '/v1/kv?limit=0' }],
  'delete /v1/kv': [{ url: '/v1/kv?prefix=c' }, { url: '/v1/kv' }],
  'post /v1/txn': [
    {
      url: '/v1/txn',
      payload:
        '{"success":[{"put":{"key":"t","value":"v"}},{"get":{"prefix":"t"}},{"delete":{"keyBase64":"/w=="}}]}',
    },
    {
      url: '/v1/txn',
      payload: '{"success":[{"put":{"key":"u","value":"v","ttlSeconds":9}},{"add":{"key":"n","delta":1}}]}',
    },
    { url: '/v1/txn', payload: '{"success":[{"add":{"key":"t","delta":1}}]}' },
    { url: '/v1/txn', payload: '{"success":[{"put":{"key":"t","value":"v","lease":"99"}}]}' },
    { url: '/v1/txn', payload: '{"success":1}' },
  ],
  'get /v1/watch': [{ url: '/v1/watch' }, { url: '/v1/watch?key=a&fromRevision=0' }],
  'post /v1/leases': [{ url: '/v1/leases', payload: '{"ttlSeconds":5}' }, { url: '/v1/leases' }],
  'get /v1/leases': [{ url: '/v1/leases' }],
  'get /v1/leases/{id}': [{ url: '/v1/leases/1' }, { url: '/v1/leases/99' }],
  'delete /v1/leases/{id}': [{ url: '/v1/leases/1' }, { url: '/v1/leases/99' }],
  'post /v1/leases/{id}/keepalive': [{ url: '/v1/leases/1/keepalive' }, { url: '/v1/leases/99/keepalive' }],
  'post /v1/locks/{name}': [
    { url: '/v1/locks/l', payload: '{"ttlSeconds":5}' },
    { url: '/v1/locks/held', payload: '{"ttlSeconds":5}' },
    { url: '/v1/locks/l', payload: '{}' },
  ],
  'get /v1/locks/{name}': [{ url: '/v1/locks/held' }, { url: '/v1/locks/free' }],
  'delete /v1/locks/{name}': [{ url: '/v1/locks/held?token=5' }, { url: '/v1/locks/free?token=1' }],
  'get /v1/status': [{ url: '/v1/status' }],
  'get /v1/members': [{ url: '/v1/members' }],
  'post /v1/members': [
    { url: '/v1/members', payload: '{"id":"n4","peer":"h:1"}' },
    { url: '/v1/members', payload: '{"id":"n1","peer":"h:1"}' },
    { url: '/v1/members?plan=true', payload: '{"id":"n5","peer":"h:1"}' },
    { url: '/v1/members', payload: '{}' },
  ],
  'put /v1/members': [
    { url: '/v1/members', payload: '{"members":[{"id":"n1","peer":"h:1"}]}' },
    { url: '/v1/members?plan=true', payload: '{"members":[{"id":"n1","peer":"h:1"}]}' },
  ],
  'delete /v1/members/{id}': [{ url: '/v1/members/n1' }, { url: '/v1/members/n9' }],
  'post /v1/members/{id}/promote': [{ url: '/v1/members/n1/promote' }, { url: '/v1/members/n9/promote' }],
  'get /v1/cluster-version': [{ url: '/v1/cluster-version' }],
  'put /v1/cluster-version': [
    { url: '/v1/cluster-version', payload: '{"clusterVersion":2}' },
    { url: '/v1/cluster-version', payload: '{"clusterVersion":3}' },
    { url: '/v1/cluster-version', payload: '{}' },
  ],
  'put /v1/cluster-version/hold': [{ url: '/v1/cluster-version/hold' }],
  'delete /v1/cluster-version/hold': [{ url: '/v1/cluster-version/hold' }],
  'post /v1/leader': [{ url: '/v1/leader' }, { url: '/v1/leader', payload: '{"to":1}' }],
  'get /healthz': [{ url: '/healthz' }],
  'get /readyz': [{ url: '/readyz' }],
  'get /metrics': [{ url: '/metrics' }],
  'get /openapi.json': [{ url: '/openapi.json' }],
};

async function prepared() {
  const { app, node } = serve();
  for (const key of ['a', 'b', 'c1', 'c2']) await app.inject({ method: 'PUT', url: `/v1/kv/${key}` });
  await app.inject({ method: 'POST', url: '/v1/leases', payload: '{"ttlSeconds":60}' });
  await app.inject({ method: 'POST', url: '/v1/locks/held', payload: '{"ttlSeconds":60,"value":"me"}' });
  return { app, node };
}

describe('the OpenAPI document', () => {
  it('has an example here for every operation', () => {
    expect(operations.map(({ name }) => name).sort()).toEqual(Object.keys(examples).sort());
  });

  it('is served, and is a document of OpenAPI 3.1 with every code of the catalogue', async () => {
    const { app } = serve();
    const answer = await app.inject('/openapi.json');
    expect(JSON.parse(answer.body)).toEqual(JSON.parse(JSON.stringify(openApiDocument)));
    for (const code of Object.keys(errorCatalogue)) expect(answer.body).toContain(code);
  });

  it('is valid, and has what generators of clients need', async () => {
    const document = JSON.parse(JSON.stringify(openApiDocument));
    const { valid, errors } = await new Validator().validate(document);
    expect(errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    expect(document.info.license).toMatchObject({ identifier: 'Apache-2.0' });
    expect(document.servers).toMatchObject([{ url: '/' }]);
    const ids = operations.map(({ documented }) => documented.operationId);
    expect(ids.filter((id) => !/^[a-z][A-Za-z]+$/.test(id))).toEqual([]);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it.each(operations)('says what $name answers', async ({ name, documented }) => {
    const ajv = new Ajv2020({ strict: false });
    const { app } = await prepared();
    const statuses = new Set<number>();
    for (const example of examples[name] ?? []) {
      const answer = await app.inject({ method: name.split(' ')[0] as 'get', ...example });
      statuses.add(answer.statusCode);
      const response = documented.responses[String(answer.statusCode)];
      expect(response, `${answer.statusCode} of ${example.url} is documented: ${answer.body}`).toBeDefined();
      if (response?.content === undefined) continue;
      const mediaType = String(answer.headers['content-type']).split(';')[0] ?? '';
      expect(Object.keys(response.content)).toContain(mediaType);
      const schema = response.content[mediaType]?.schema;
      if (schema === undefined) continue;
      const body: unknown = JSON.parse(answer.body);
      const fits = ajv.validate(schema, body);
      expect(fits, `${answer.body} does not fit: ${ajv.errorsText()}`).toBe(true);
      if (mediaType !== 'application/problem+json') continue;
      expect(response.description).toContain((body as { code: string }).code);
    }
    // One that succeeds at least; a watch that succeeds has no end, and tests of its own.
    if (name !== 'get /v1/watch') expect([...statuses].some((status) => status < 300)).toBe(true);
  });

  it.each(operations)('says what $name answers from a follower', async ({ name, documented }) => {
    const { app, node } = await prepared();
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://10.0.0.2:8101' };
    const [example] = examples[name] ?? [];
    const answer = await app.inject({ method: name.split(' ')[0] as 'get', ...example });
    const response = documented.responses[String(answer.statusCode)];
    expect(response).toBeDefined();
    if (answer.statusCode === 307) expect(response?.description).toContain(JSON.parse(answer.body).code);
  });
});
