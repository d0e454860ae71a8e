import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodeFetch } from '../../src/cli/node-fetch.js';
import { RaftkvClient, RaftkvClientError } from '../../src/client/index.js';
import type { FakeNode } from '../http/fake-node.js';
import { listen, serve } from '../http/kit.js';

let app: FastifyInstance;
let node: FakeNode;
let url: string;
let client: RaftkvClient;

beforeEach(async () => {
  ({ app, node } = serve());
  url = `http://127.0.0.1:${await listen(app)}`;
  client = new RaftkvClient({ endpoints: [url] });
});

afterEach(async () => {
  await app.close();
});

const bytes = (...values: readonly number[]) => Uint8Array.from(values);

function refusal(code: string): unknown {
  return expect.objectContaining({ name: 'RaftkvClientError', code });
}

describe('put and get', () => {
  it('store text, bytes and JSON, and give them back', async () => {
    expect(await client.put('a/ü?', 'hello')).toEqual({ key: 'a/ü?', revision: 1, created: true });
    expect(await client.get('a/ü?')).toEqual({
      value: Uint8Array.from(Buffer.from('hello')),
      modRevision: 1,
      createRevision: 1,
      version: 1,
      lease: undefined,
      contentType: 'application/octet-stream',
      revision: 1,
      consistency: 'linearizable',
    });
    await client.put(bytes(0xff, 0x2f, 0x00), bytes(0, 0xff, 0xfe));
    expect((await client.get(bytes(0xff, 0x2f, 0x00)))?.value).toEqual(bytes(0, 0xff, 0xfe));
    await client.putJson('json', { a: ['ü'] });
    expect(await client.getJson('json')).toEqual({ a: ['ü'] });
    expect((await client.get('json'))?.contentType).toBe('application/json');
    expect(await client.getText('json')).toBe('{"a":["ü"]}');
    await client.put('page', '<p>', { contentType: 'text/html' });
    expect((await client.get('page'))?.contentType).toBe('text/html');
    await client.put('empty', '');
    expect((await client.get('empty'))?.value).toHaveLength(0);
  });

  it('count on a key, and drop the past', async () => {
    expect(await client.add('n')).toMatchObject({ value: 1, created: true });
    expect(await client.add('n', -5)).toMatchObject({ value: -4, created: false, revision: 2 });
    expect(await client.add('m', 1, { initial: 10 })).toMatchObject({ value: 11 });
    await client.put('text', 'x');
    await expect(client.add('text')).rejects.toEqual(refusal('not_a_number'));
    expect(await client.compact({ revision: 2 })).toEqual({ revision: 4, compactedRevision: 2 });
    await expect(client.compact({ revision: 5 })).rejects.toMatchObject({ code: 'revision_in_future' });
    expect(await client.compact()).toEqual({ revision: 4, compactedRevision: 4 });
  });

  it('tell by undefined that there is no such key, or by an error where that was asked for', async () => {
    expect(await client.get('a')).toBeUndefined();
    expect(await client.getText('a')).toBeUndefined();
    expect(await client.getJson('a')).toBeUndefined();
    await expect(client.get('a', { mustExist: true })).rejects.toEqual(refusal('key_not_found'));
  });

  it('take conditions', async () => {
    await client.put('a', '1', { ifAbsent: true });
    const refused = client.put('a', '2', { ifAbsent: true });
    await expect(refused).rejects.toMatchObject({
      code: 'precondition_failed',
      status: 412,
      problem: { revision: 1 },
    });
    await expect(client.put('a', '2', { ifRevision: 7 })).rejects.toEqual(refusal('precondition_failed'));
    expect(await client.put('a', '2', { ifRevision: 1 })).toMatchObject({ revision: 2, created: false });
    await expect(client.put('a', '2', { ifRevision: 1, ifAbsent: true })).rejects.toEqual(
      refusal('bad_request'),
    );
  });

  it('read the past, and wait for a revision', async () => {
    await client.put('a', '1');
    const { revision } = await client.put('a', '2');
    expect(await client.getText('a', { revision: 1 })).toBe('1');
    const stale = { consistency: 'stale', minRevision: revision } as const;
    expect(await client.get('a', stale)).toMatchObject({ revision, consistency: 'stale' });
    const ahead = client.get('a', { ...stale, minRevision: revision + 1, timeoutMs: 100 });
    await expect(ahead).rejects.toEqual(refusal('unavailable'));
    expect(node.calls).toContain(`waitForRevision ${revision + 1}`);
    node.holdsLease = true;
    expect((await client.get('a', { consistency: 'lease' }))?.consistency).toBe('lease');
  });

  it('take a time to live or a lease', async () => {
    const { lease = '' } = await client.put('a', 'x', { ttlSeconds: 30 });
    expect(await client.lease(lease)).toMatchObject({ ttlSeconds: 30, keys: [{ key: 'a' }] });
    await client.put('b', 'x', { lease });
    expect((await client.lease(lease)).keys).toHaveLength(2);
    const short = await client.put('c', 'x', { ttlSeconds: 1.5 });
    expect(await client.lease(short.lease ?? '')).toMatchObject({ ttlSeconds: 1.5 });
    await expect(client.put('d', 'x', { lease: '999' })).rejects.toEqual(refusal('lease_not_found'));
  });

  it('take keys that a URL would fold, or say that they cannot', async () => {
    for (const key of ['a/../b', './a', 'a/.', 'x//y', '...', '%2e%2e']) {
      await client.put(key, key);
      expect(await client.getText(key)).toBe(key);
      expect(node.get(Buffer.from(key), undefined)).toBeDefined();
    }
    for (const key of ['.', '..', bytes(0x2e)]) {
      await expect(client.put(key, 'x')).rejects.toEqual(refusal('bad_request'));
      await expect(client.get(key)).rejects.toEqual(refusal('bad_request'));
    }
    const unfolding = new RaftkvClient({ endpoints: [url], fetch: nodeFetch });
    await unfolding.put('..', 'dots');
    expect(await unfolding.getText('..')).toBe('dots');
    await expect(client.put('\ud800', 'x')).rejects.toEqual(refusal('bad_request'));
  });
});

describe('delete', () => {
  it('deletes a key, on a condition, or all keys with a prefix', async () => {
    expect(await client.delete('a')).toBeUndefined();
    await expect(client.delete('a', { mustExist: true })).rejects.toEqual(refusal('key_not_found'));
    await client.put('a', '1');
    await expect(client.delete('a', { ifRevision: 7 })).rejects.toEqual(refusal('precondition_failed'));
    expect(await client.delete('a', { ifRevision: 1 })).toEqual({ revision: 2, deleted: 1 });
    for (const key of ['p/1', 'p/2', 'q']) await client.put(key, 'x');
    expect(await client.deletePrefix('p/')).toEqual({ revision: 6, deleted: 2 });
    await expect(client.deletePrefix('')).rejects.toEqual(refusal('bad_request'));
  });
});

describe('a listing', () => {
  it('gives items with all that is known of them', async () => {
    await client.putJson('a', { n: 1 });
    await client.putJson('a', { n: 2 });
    await client.put(bytes(0xff), bytes(0xfe), { ttlSeconds: 30 });
    const { revision, items, nextCursor } = await client.list();
    expect([revision, items.length, nextCursor]).toEqual([3, 2, undefined]);
    const [text, binary] = items;
    expect(text).toMatchObject({
      key: 'a',
      text: '{"n":2}',
      createRevision: 1,
      modRevision: 2,
      version: 2,
      contentType: 'application/json',
      lease: undefined,
    });
    expect(text?.json()).toEqual({ n: 2 });
    expect([binary?.key, binary?.keyBytes, binary?.value, binary?.lease]).toEqual([
      '\ufffd',
      bytes(0xff),
      bytes(0xfe),
      '1',
    ]);
    expect(JSON.parse(JSON.stringify(binary))).toMatchObject({ keyBase64: '/w==', valueBase64: '/g==' });
    const [named] = (await client.list({ prefix: 'a', keysOnly: true })).items;
    expect([named?.key, named?.value.length]).toEqual(['a', 0]);
  });

  it('shows one revision in all its pages, whatever is written meanwhile', async () => {
    for (let index = 0; index < 7; index += 1) await client.put(`k${index}`, 'x');
    let { items, nextCursor } = await client.list({ prefix: 'k', limit: 3 });
    expect([items.length, nextCursor]).toEqual([3, expect.any(String)]);
    await client.deletePrefix('k');
    ({ items, nextCursor } = await client.list({ prefix: 'k', limit: 3, cursor: nextCursor }));
    expect(items.map(({ key }) => key)).toEqual(['k3', 'k4', 'k5']);
  });

  it('goes through all pages, or as many items as were asked for', async () => {
    for (let index = 0; index < 1_005; index += 1) {
      const put = {
        kind: 'put',
        key: Buffer.from(`k${index}`),
        value: Buffer.of(),
        contentType: '',
      } as const;
      await node.write(put, 1);
    }
    const sizes: number[] = [];
    const keys = new Set<string>();
    for await (const { items, revision } of client.listAll({ prefix: 'k' })) {
      expect(revision).toBe(1_005);
      sizes.push(items.length);
      for (const { key } of items) keys.add(key);
    }
    expect([sizes, keys.size]).toEqual([[1_000, 5], 1_005]);
    let listed = 0;
    for await (const { items } of client.listAll({ limit: 1_002 })) listed += items.length;
    expect(listed).toBe(1_002);
  });
});

describe('a transaction', () => {
  it('compares and does one branch, with text and bytes', async () => {
    const claim = {
      compare: [{ key: 'owner', target: 'exists', op: '=', value: false }],
      success: [
        { put: { key: 'owner', value: 'me' } },
        { put: { key: bytes(0xff), value: bytes(0xfe) } },
        { delete: { prefix: 'old/' } },
      ],
      failure: [{ get: { key: 'owner' } }, { get: { prefix: bytes(0xff) } }],
    } as const;
    expect(await client.txn(claim)).toEqual({
      succeeded: true,
      revision: 1,
      results: [
        { put: { key: 'owner', created: true } },
        { put: { keyBase64: '/w==', created: true } },
        { delete: { deleted: 0 } },
      ],
    });
    const { succeeded, results } = await client.txn(claim);
    expect(succeeded).toBe(false);
    const [owner, binary] = results;
    expect(owner !== undefined && 'get' in owner && owner.get.items[0]?.text).toBe('me');
    expect(binary !== undefined && 'get' in binary && binary.get.items[0]?.value).toEqual(bytes(0xfe));
    const value = { key: bytes(0xff), target: 'value', op: '=', value: bytes(0xfe) } as const;
    expect((await client.txn({ compare: [value] })).succeeded).toBe(true);
  });

  it('counts, and gives keys a time to live', async () => {
    const { results } = await client.txn({
      success: [
        { put: { key: 'a', value: '1', ttlSeconds: 30 } },
        { add: { key: bytes(0xff), delta: 2, initial: 40 } },
      ],
    });
    expect(results).toEqual([
      { put: { key: 'a', created: true, lease: '1' } },
      { add: { keyBase64: '/w==', created: true, value: 42 } },
    ]);
    expect((await client.lease('1')).ttlSeconds).toBe(30);
  });

  it('is refused with what is wrong', async () => {
    const wrong = client.txn({ success: [{ put: { key: '', value: '' } }] });
    await expect(wrong).rejects.toEqual(refusal('bad_request'));
    await expect(wrong).rejects.toBeInstanceOf(RaftkvClientError);
  });
});

describe('the cluster', () => {
  it('is seen and changed', async () => {
    expect(await client.status()).toMatchObject({ id: 'n1', role: 'leader' });
    expect(await client.members()).toMatchObject([{ id: 'n1', leader: true }]);
    expect(await client.addMember({ id: 'n4', peer: 'h4:7101' })).toMatchObject({ added: true });
    expect(await client.promoteMember('n4')).toEqual({ promoted: 'n4' });
    expect(await client.removeMember('n4', { force: true })).toEqual({ removed: 'n4' });
    expect(await client.setMembers([{ id: 'n1', peer: 'h1:7101' }])).toMatchObject({ voters: ['n1'] });
    expect(await client.transferLeadership('n2')).toEqual({ leader: 'n2' });
    node.calls.length = 0;
    const plan = await client.planMembers({ kind: 'remove', id: 'n1' });
    expect(plan.after.faultTolerance).toBe(1);
    expect(node.calls).toEqual(['planMembers {"kind":"remove","id":"n1"}']);
    await expect(client.removeMember('a/b')).rejects.toEqual(refusal('bad_request'));
  });
});

describe('deletePrefix of more keys than one change may delete', () => {
  const count = 10_300;

  beforeEach(async () => {
    const keys = Array.from({ length: count }, (_, number) => `many/${number}`);
    for (let at = 0; at < count; at += 128) {
      const success = keys.slice(at, at + 128).map((key) => ({ put: { key, value: '' } }));
      await client.txn({ success });
    }
    await client.put('other', 'stays');
  });

  it('is refused, or done in parts where that is allowed', async () => {
    await expect(client.deletePrefix('many/')).rejects.toEqual(refusal('too_many_keys'));
    const progress: number[] = [];
    const result = await client.deletePrefix('many/', {
      inParts: true,
      onProgress: (deleted) => progress.push(deleted),
    });
    expect(result.deleted).toBe(count);
    expect(result.parts).toBeGreaterThan(1);
    expect(progress).toEqual(progress.toSorted((one, other) => one - other));
    expect(progress.at(-1)).toBe(count);
    expect((await client.list()).items.map(({ key }) => key)).toEqual(['other']);
  });

  it('has one revision where one change is enough, in parts or not', async () => {
    const { revision } = await client.put('few/a', '');
    const result = await client.deletePrefix('few/', { inParts: true });
    expect(result).toEqual({ revision: revision + 1, deleted: 1 });
  });
});
