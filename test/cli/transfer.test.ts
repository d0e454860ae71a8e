import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { deadUrl } from '../client/fake-server.js';
import type { FakeNode } from '../http/fake-node.js';
import { listen, serve } from '../http/kit.js';
import { type Ran, type RunOptions, run } from './kit.js';

let app: FastifyInstance;
let node: FakeNode;
let endpoint: string;
let directory: string;

beforeEach(async () => {
  ({ app, node } = serve());
  endpoint = `http://127.0.0.1:${await listen(app)}`;
  directory = mkdtempSync(join(tmpdir(), 'raftkv-transfer-'));
});

afterEach(async () => {
  await app.close();
  rmSync(directory, { recursive: true });
});

function on(parameters: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return run([...parameters, '--endpoints', endpoint], options);
}

async function put(key: Uint8Array | string, value: Uint8Array | string, contentType = ''): Promise<void> {
  await node.write({ kind: 'put', key: Buffer.from(key), value: Buffer.from(value), contentType }, 1);
}

/** Everything that belongs to a key but its revisions. */
async function content() {
  const all = { prefix: Buffer.of(), after: undefined, revision: undefined, limit: 10_000, keysOnly: false };
  const { items } = await node.list(all);
  return items.map(({ key, value, contentType, lease }) => ({ key, value, contentType, lease }));
}

describe('export and import', () => {
  it('carry every key with its bytes and its media type into an empty store, and again', async () => {
    await put('a/ü', 'text\nwith "quotes"', 'text/plain');
    await put(Buffer.of(0xff, 0), Buffer.of(0xfe));
    for (let index = 0; index < 1_200; index += 1) await put(`k${index}`, `${index}`);
    const path = join(directory, 'store.ndjson');
    expect((await on(['export', path])).output).toBe('1202 keys of revision 1202 exported\n');
    expect(readdirSync(directory)).toEqual(['store.ndjson']);
    expect(readFileSync(path, 'utf8').trimEnd().split('\n')).toHaveLength(1_202);
    expect((await on(['export'])).output).toBe(readFileSync(path, 'latin1'));
    expect((await on(['export', '-'])).output).toBe(readFileSync(path, 'latin1'));
    expect((await on(['import', '-'], { input: readFileSync(path, 'latin1') })).code).toBe(0);
    const before = await content();

    const other = serve();
    const url = `http://127.0.0.1:${await listen(other.app)}`;
    node = other.node;
    for (const _ of ['once', 'again']) {
      const imported = await run(['import', path, '--json', '--endpoints', url]);
      expect([imported.code, JSON.parse(imported.output)]).toEqual([0, { imported: 1_202, leftOut: 0 }]);
      expect(await content()).toEqual(before);
    }
    await other.app.close();
  });

  it('export one revision, of a prefix where that is asked for', async () => {
    for (const key of ['a', 'b', 'c']) await put(key, '1');
    await put('b', '2');
    const past = await on(['export', '--prefix', 'b', '--revision', '3']);
    expect(JSON.parse(past.output)).toMatchObject({ key: 'b', value: '1', modRevision: 2 });
    const file = join(directory, 'all');
    expect(JSON.parse((await on(['export', file, '--json'])).output)).toEqual({ exported: 3, revision: 4 });
  });

  it('leave out locks, and what would live forever without its lease', async () => {
    await app.inject({ method: 'POST', url: '/v1/locks/l', payload: { ttlSeconds: 30 } });
    await app.inject({ method: 'PUT', url: '/v1/kv/session?ttl=30s', payload: 'x' });
    await put('a', 'x');
    const { output } = await on(['export']);
    expect(output.match(/"key":"[^"]*"/g)).toEqual(['"key":"a"', '"key":"session"']);
    const lock = '{"key":".raftkv/locks/l","value":""}\n';
    const imported = await on(['import'], { input: `${output}\r\n${lock}` });
    expect(imported.output).toBe('1 key imported; 2 keys with a lease or of the server itself left out\n');
  });

  it('put the later one of two lines with the same key last', async () => {
    const lines = Array.from({ length: 100 }, (_, index) => JSON.stringify({ key: 'a', value: `${index}` }));
    expect((await on(['import'], { input: lines.join('\n') })).output).toBe('100 keys imported\n');
    expect(Buffer.from((await content())[0]?.value ?? '').toString()).toBe('99');
  });

  it('say which line is wrong or was refused', async () => {
    const good = '{"key":"a","value":"x"}\n';
    for (const bad of [
      '{"key":"b"}',
      '{"value":"x"}',
      'null',
      '{',
      '{"keyBase64":"%","value":""}',
      '{"key":"","value":""}',
      '{"key":"b","keyBase64":"Yw==","value":""}',
      '{"key":"b","value":"","valueBase64":""}',
      '{"key":"b","value":"\\ud800"}',
      '{"key":"\\udc00","value":""}',
    ]) {
      const refused = await on(['import'], { input: `${good}\n${bad}\n${good}` });
      expect(refused).toMatchObject({ code: 2, errors: expect.stringContaining('Line 3 is no item') });
    }
    // In another encoding; and a media type that no request can carry.
    const latin = await on(['import'], { input: `${good}{"key":"b","value":"caf\xe9"}` });
    expect(latin).toMatchObject({ code: 2, errors: expect.stringContaining('Line 2 is not UTF-8') });
    const header = await on(['import'], { input: '{"key":"b","value":"","contentType":"a\\nb"}' });
    expect(header).toMatchObject({ code: 1, errors: expect.stringContaining('(bad_request)') });
    expect((await content()).map(({ key }) => Buffer.from(key).toString())).toEqual(['a']);
    const large = JSON.stringify({ key: 'b', value: 'x'.repeat(2_000) });
    const refused = await on(['import', '--json'], { input: `${good}${large}\n` });
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.errors)).toMatchObject({
      code: 'value_too_large',
      line: 2,
      detail: expect.stringMatching(/^Line 2: /),
    });
    node.failure = new RaftkvError('outcome_unknown', 'Nobody knows.');
    expect((await on(['import', '--timeout', '100ms'], { input: good })).code).toBe(4);
    expect((await run(['import', '--endpoints', await deadUrl()], { input: good })).code).toBe(3);
  });

  it('leave no half of a file behind', async () => {
    await put('a', 'x');
    node.failure = new RaftkvError('compacted', 'That revision is gone.');
    const path = join(directory, 'store.ndjson');
    writeFileSync(path, 'of yesterday');
    expect((await on(['export', path])).code).toBe(1);
    expect([readdirSync(directory), readFileSync(path, 'utf8')]).toEqual([['store.ndjson'], 'of yesterday']);
    expect((await on(['export', '/nonexistent/file'])).code).toBe(2);
    expect(existsSync('/nonexistent')).toBe(false);
  });

  it('leave none behind when they are interrupted, either', async () => {
    const path = join(directory, 'store.ndjson');
    const list = node.list.bind(node);
    node.list = (request) => {
      expect(readdirSync(directory)).toEqual(['store.ndjson.partial']);
      process.emit('SIGINT', 'SIGINT');
      return list(request);
    };
    expect((await on(['export', path])).code).toBe(130);
    expect(readdirSync(directory)).toEqual([]);
    expect(process.listenerCount('SIGINT')).toBe(0);
  });

  it('show on a terminal how much of a file is imported', async () => {
    const path = join(directory, 'store.ndjson');
    const line = (index: number): string => `{"key":"k${String(index).padStart(3, '0')}","value":""}\n`;
    writeFileSync(path, Array.from({ length: 100 }, (_, index) => line(index)).join(''));
    const { errors, output } = await on(['import', path], { terminal: true });
    expect(output).toBe('100 keys imported\n');
    // Of 32 puts that are under way the first one is done.
    expect(errors).toMatch(/^\r\[###### {14}\] {2}32% 1 key imported\r/);
    expect(errors.endsWith('\r\u001b[K')).toBe(true);
    expect((await on(['import', path])).errors).toBe('');
  });

  it('count on a terminal', async () => {
    await put('a', 'x');
    const { errors, output } = await on(['export'], { terminal: true });
    expect(errors).toBe('\r1 key exported\r\u001b[K');
    expect((await on(['import'], { input: output, terminal: true })).errors).toBe(
      '\r1 key imported\r\u001b[K',
    );
    expect((await on(['export'])).errors).toBe('');
  });
});
