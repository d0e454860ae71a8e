import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Setting, settings } from '../../src/cli/settings.js';
import { RaftkvError } from '../../src/errors.js';
import type { MemberStatus } from '../../src/http/port.js';
import { examplePlan, type FakeNode } from '../http/fake-node.js';
import { listen, serve } from '../http/kit.js';
import { type Ran, type RunOptions, run } from './kit.js';

let app: FastifyInstance;
let node: FakeNode;
let endpoint: string;
/** A port that nobody listens on. */
let deadEndpoint: string;

beforeEach(async () => {
  ({ app, node } = serve());
  endpoint = `http://127.0.0.1:${await listen(app)}`;
  const probe = createTcpServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  deadEndpoint = `http://127.0.0.1:${(probe.address() as AddressInfo).port}`;
  await new Promise((resolve) => probe.close(resolve));
});

afterEach(async () => {
  await app.close();
});

function on(parameters: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return run([...parameters, '--endpoints', endpoint], options);
}

describe('the program itself', () => {
  it('says its version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await run(['--version'])).toEqual({ code: 0, output: `${version}\n`, errors: '' });
  });
});

describe('put and get', () => {
  it('stores the argument, standard input or a file, and gives the bytes back as they are', async () => {
    expect(await on(['put', 'a/b', 'hello'])).toEqual({
      code: 0,
      output: 'a/b created at revision 1\n',
      errors: '',
    });
    expect(await on(['get', 'a/b'])).toEqual({ code: 0, output: 'hello', errors: '' });
    await on(['put', 'b', '-'], { input: '\xff\x00' });
    expect((await on(['get', 'b'])).output).toBe('\xff\x00');
    await on(['put', 'b'], { input: 'piped' });
    expect((await on(['get', 'b'], { terminal: true })).output).toBe('piped\n');
    const path = join(tmpdir(), `raftkv-value-${process.pid}`);
    writeFileSync(path, 'from a file');
    expect((await on(['put', 'b', '--file', path])).output).toBe('b replaced at revision 4\n');
    expect((await on(['get', 'b'])).output).toBe('from a file');
  });

  it.each(['..', '.', 'a/../b', 'ü %?#&+', '\u001b[31m'])('takes the key %j as it is', async (key) => {
    await on(['put', key, 'x']);
    expect((await on(['get', key])).output).toBe('x');
    expect(node.get(Buffer.from(key), undefined)).toBeDefined();
  });

  it('prints JSON for programs', async () => {
    expect(
      JSON.parse((await on(['put', 'a', 'x', '--content-type', 'text/plain', '--json'])).output),
    ).toEqual({
      key: 'a',
      revision: 1,
      created: true,
    });
    expect(JSON.parse((await on(['get', 'a', '--json'])).output)).toEqual({
      key: 'a',
      value: 'x',
      createRevision: 1,
      modRevision: 1,
      version: 1,
      contentType: 'text/plain',
    });
    await on(['put', 'a', '-'], { input: '\xff' });
    expect(JSON.parse((await on(['get', 'a', '--json'])).output)).toMatchObject({ valueBase64: '/w==' });
    await on(['put', 'longer', 'x', '--ttl', '30s']);
    expect(JSON.parse((await on(['get', 'longer', '--json'])).output)).toMatchObject({ lease: '1' });
    for (const parameters of [['long'], ['longer', '--revision', '2']]) {
      const missing = await on(['get', ...parameters, '--json']);
      expect([missing.code, missing.output, JSON.parse(missing.errors).code]).toEqual([
        1,
        '',
        'key_not_found',
      ]);
    }
  });

  it('exits with 1 and one line when the server says no', async () => {
    const missing = await on(['get', 'a']);
    expect(missing).toMatchObject({ code: 1, output: '' });
    expect(missing.errors).toMatch(/^raftkv: There is no such key.*\n$/);
    await on(['put', 'a', 'x']);
    expect((await on(['put', 'a', 'y', '--if-absent'])).code).toBe(1);
    expect((await on(['put', 'a', 'y', '--if-revision', '7'])).code).toBe(1);
    expect((await on(['put', 'a', 'y', '--if-revision', '1'])).code).toBe(0);
    expect((await on(['get', 'a', '--revision', '1'])).output).toBe('x');
  });

  it('exits with 4 where the server does not know whether the change was made', async () => {
    node.failure = new RaftkvError('outcome_unknown', 'Nobody knows.');
    expect(await on(['put', 'a', 'x', '--timeout', '100ms'])).toMatchObject({
      code: 4,
      errors: 'raftkv: Nobody knows. (outcome_unknown)\n',
    });
  });

  it('gives programs the problem document', async () => {
    await on(['put', 'a', 'x']);
    const refused = await on(['put', 'a', 'y', '--if-absent', '--json']);
    expect(refused).toMatchObject({ code: 1, output: '' });
    expect(JSON.parse(refused.errors)).toMatchObject({
      status: 412,
      code: 'precondition_failed',
      revision: 1,
      detail: expect.any(String),
    });
    const nobody = await run(['get', 'a', '--json', '--endpoints', deadEndpoint]);
    expect(nobody.code).toBe(3);
    expect(JSON.parse(nobody.errors)).toMatchObject({ code: 'unreachable' });
  });

  it('gives a terminal a problem document without what would steer it, and programs all of it', async () => {
    const holder = 'host\u009b2J\u202e';
    node.failure = new RaftkvError('lock_not_held', 'Somebody else has it.', { value: holder });
    const parameters = ['put', 'a', 'x', '--json'];
    const atTerminal = await on(parameters, { terminal: true });
    expect(JSON.parse(atTerminal.errors)).toMatchObject({ value: 'host\ufffd2J\ufffd' });
    const elsewhere = await on(parameters);
    expect(JSON.parse(elsewhere.errors)).toMatchObject({ value: holder });
  });

  it('puts with a time to live of its own, or with a lease', async () => {
    expect((await on(['put', 'a', 'x', '--ttl', '90s'])).output).toBe(
      'a created at revision 1 with lease 1\n',
    );
    expect((await on(['put', 'b', 'x', '--lease', '1'])).output).toBe('b created at revision 2\n');
    expect(node.lease(1)).toMatchObject({ ttlMs: 90_000 });
    expect(await node.leaseKeys(1, 10)).toHaveLength(2);
    const refused = await on(['put', 'c', 'x', '--lease', '9']);
    expect(refused).toMatchObject({ code: 1, errors: expect.stringContaining('(lease_not_found)') });
  });

  it('takes an hour for a duration, as the server does', async () => {
    await on(['put', 'a', 'x', '--timeout', '1h']);
    expect(Number(/^write put (\d+)$/.exec(node.calls[0] ?? '')?.[1])).toBeGreaterThan(3_590_000);
  });

  it('reads stale values without asking the leader', async () => {
    await on(['put', 'a', 'x']);
    node.calls.length = 0;
    expect((await on(['get', 'a', '--stale', '--min-revision', '1'])).output).toBe('x');
    expect(node.calls).toEqual([]);
  });
});

describe('revision 0', () => {
  it('is that of the empty store, and there at once', async () => {
    await on(['put', 'a', 'x']);
    const { code, errors } = await on(['get', 'a', '--revision', '0', '--json']);
    expect([code, JSON.parse(errors).code]).toEqual([1, 'key_not_found']);
    expect(JSON.parse((await on(['list', '--revision', '0', '--json'])).output)).toEqual({
      revision: 0,
      items: [],
    });
    expect((await on(['get', 'a', '--min-revision', '0'])).output).toBe('x');
  });
});

describe('add and compact', () => {
  it('counts on a key, and drops the past', async () => {
    expect((await on(['add', 'n'])).output).toBe('1\n');
    expect((await on(['add', 'n', '10'])).output).toBe('11\n');
    expect((await run(['add', '--endpoints', endpoint, 'n', '--', '-1'])).output).toBe('10\n');
    expect((await on(['add', 'm', '--initial', '7', '--json'])).output).toContain('"value":8');
    expect((await on(['add', 'n', 'x'])).code).toBe(2);
    const refused = await on(['compact', '--revision', '99']);
    expect([refused.code, refused.errors]).toEqual([1, expect.stringContaining('(revision_in_future)')]);
    expect((await on(['compact'])).output).toMatch(
      /^history begins at revision (\d+); the store is at revision \1\n$/,
    );
  });
});

describe('delete and list', () => {
  it('deletes a key or a prefix', async () => {
    for (const key of ['a', 'b1', 'b2']) await on(['put', key, 'x']);
    expect((await on(['delete', 'a'])).output).toBe('1 key deleted; the store is at revision 4\n');
    expect((await on(['delete', 'a'])).code).toBe(1);
    expect(JSON.parse((await on(['delete', '--prefix', 'b', '--json'])).output)).toEqual({
      revision: 5,
      deleted: 2,
    });
  });

  it('lists all pages as a table or as one JSON document', async () => {
    expect((await on(['list'])).output).toBe('no keys\n');
    expect(JSON.parse((await on(['list', '--json'])).output)).toEqual({ revision: 0, items: [] });
    for (let index = 0; index < 150; index++) {
      await node.write(
        { kind: 'put', key: Buffer.from(`k${index}`), value: Buffer.from('\u001b[2J'), contentType: '' },
        1,
      );
    }
    const { revision, items } = JSON.parse((await on(['list', '--prefix', 'k', '--json'])).output);
    expect([revision, items.length]).toEqual([150, 150]);
    expect(JSON.parse((await on(['list', '--limit', '120', '--json'])).output).items).toHaveLength(120);
    const shown = await on(['list', '--limit', '2']);
    expect(shown.output).toBe(
      'KEY  REVISION  VERSION  VALUE\nk0   1         1        "\\u001b[2J"\nk1   2         1        "\\u001b[2J"\n',
    );
    expect((await on(['list', '--limit', '1', '--keys-only'])).output).not.toContain('VALUE');
    await on(['put', 'long', '-'], { input: '\xff'.repeat(70) });
    expect((await on(['list', '--prefix', 'long'])).output).toContain(
      Buffer.from('… (70 bytes)').toString('latin1'),
    );
    await on(['put', 'long', '-'], { input: '\x1b'.repeat(61) });
    expect((await on(['list', '--prefix', 'long'])).output).toContain(
      Buffer.from('… (61 bytes)').toString('latin1'),
    );
  });
});

describe('a listing of several pages', () => {
  it('has one header, and columns that only become wider, up to a bound', async () => {
    const put = (key: string): Promise<unknown> =>
      node.write({ kind: 'put', key: Buffer.from(key), value: Buffer.from('v'), contentType: '' }, 1);
    for (let index = 0; index < 1_000; index += 1) await put(`k${String(index).padStart(3, '0')}`);
    await put(`l${'o'.repeat(60)}ng`);
    await put('m');
    const lines = (await on(['list'])).output.split('\n');
    expect(lines).toHaveLength(1 + 1_002 + 1);
    expect(lines.slice(0, 2)).toEqual(['KEY   REVISION  VERSION  VALUE', 'k000  1         1        v']);
    expect(lines.slice(1_000)).toEqual([
      'k999  1000      1        v',
      `l${'o'.repeat(60)}ng  1001      1        v`,
      `${'m'.padEnd(40)}  1002      1        v`,
      '',
    ]);
  });
});

describe('cluster commands', () => {
  it('shows what every node says, and those that say nothing', async () => {
    const both = ['--endpoints', `${endpoint},${deadEndpoint}`];
    const people = await run(['status', ...both]);
    expect(people.code).toBe(0);
    expect(people.output).toMatch(/^ID +ROLE.*\nn1 +leader.*\n\? +unreachable: ECONNREFUSED/);
    const { nodes } = JSON.parse((await run(['status', '--json', ...both])).output);
    expect(nodes).toMatchObject([{ id: 'n1', endpoint }, { error: 'ECONNREFUSED' }]);
  });

  it('shows the members that no endpoint names, whether they answer or not', async () => {
    const other = serve();
    const otherUrl = `http://127.0.0.1:${await listen(other.app)}`;
    const self = (await node.members())[0];
    const status = other.node.status();
    other.node.status = () => ({ ...status, id: 'n2', role: 'follower' });
    node.members = async () => [
      { ...self, client: endpoint } as MemberStatus,
      { ...self, id: 'n2', client: otherUrl, leader: false } as MemberStatus,
      { ...self, id: 'n3', client: deadEndpoint, leader: false } as MemberStatus,
      { ...self, id: 'n4', client: '', leader: false } as MemberStatus,
    ];
    const { output } = await on(['status']);
    expect(output).toMatch(
      /\nn1 +leader.*\nn2 +follower.*\nn3 +unreachable: ECONNREFUSED.*\nn4 +unreachable/,
    );
    const { nodes } = JSON.parse((await on(['status', '--json'])).output);
    expect(nodes).toMatchObject([
      { id: 'n1' },
      { id: 'n2' },
      { id: 'n3', error: 'ECONNREFUSED' },
      { id: 'n4' },
    ]);
    await other.app.close();
  });

  it('sets the members, and plans every change', async () => {
    const set = ['member', 'set', 'n1=127.0.0.1:7101, n4=h4:7101'];
    expect((await on(set)).output).toBe('the voters are n1, n4 (new: n4)\n');
    expect((await on([...set, '--force'])).code).toBe(0);
    expect((await on(['member', 'set', 'n4=h4:7101'])).output).toBe(
      'the voters are n4 (new: n4; removed: n1)\n',
    );
    expect((await on(['member', 'set', 'n1=127.0.0.1:7101'])).output).toBe('the voters are n1 (as before)\n');
    expect(node.calls.slice(0, 2)).toEqual([
      'setMembers n1=127.0.0.1:7101,n4=h4:7101 false',
      'setMembers n1=127.0.0.1:7101,n4=h4:7101 true',
    ]);
    node.calls.length = 0;
    const planned = await on([...set, '--plan']);
    expect(planned.output.split('\n')).toEqual([
      '           NOW         THEN',
      'voters     n1, n2, n3  n1, n2, n3, n4',
      'learners   -           -',
      'quorum     2           3',
      'may fail   1           1',
      'answering              n1, n2, n3',
      '',
      '1. addLearner: Gets the log: n4 at h4:7101.',
      '2. promote: n4 becomes a voter by itself.',
      'Warning: 4 voters is an even number.',
      'Nothing was changed.',
      '',
    ]);
    for (const command of [
      ['add', 'n4', 'h4:7101'],
      ['promote', 'n4'],
      ['remove', 'n4', '--force'],
    ]) {
      expect((await on(['member', ...command, '--plan'])).output).toBe(planned.output);
      expect(JSON.parse((await on(['member', ...command, '--plan', '--json'])).output)).toEqual(examplePlan);
    }
    expect(node.calls.filter((call) => !call.startsWith('planMembers '))).toEqual([]);
  });

  it('lists, adds, promotes and removes members, and transfers leadership', async () => {
    expect((await on(['member', 'add', 'n4', 'h4:7101', '--client', 'http://h4:8101'])).output).toBe(
      'n4 added as a learner\n',
    );
    expect((await on(['member', 'add', 'n4', 'h4:7101'])).output).toBe('n4 is a learner already\n');
    expect((await on(['member', 'list'])).output).toMatch(/n1 +voter, leader +healthy[\s\S]*n4 +learner/);
    expect((await on(['member', 'promote', 'n4'])).output).toBe('n4 promoted\n');
    expect((await on(['member', 'remove', 'n4', '--force'])).output).toBe('n4 removed\n');
    expect((await on(['member', 'remove', 'n4'])).code).toBe(1);
    expect((await on(['leader', 'transfer'])).output).toBe('n2 leads\n');
    expect((await on(['leader', 'transfer', 'n3', '--json'])).output).toBe('{"leader":"n3"}\n');
    expect(node.calls).toContain('removeMember n4 true');
  });
});

describe('endpoints', () => {
  it('tries each in turn, from the flag or the environment', async () => {
    const both = `${deadEndpoint},${endpoint.replace('http://', '')}`;
    expect((await run(['put', 'a', 'x', '--endpoints', both])).code).toBe(0);
    expect((await run(['get', 'a'], { environment: { RAFTKV_ENDPOINTS: both } })).output).toBe('x');
  });

  it('row 34: lets a follower do the work, and follows no redirect with its body', async () => {
    node.routed = { kind: 'follower', leader: 'n2', url: deadEndpoint };
    expect((await on(['put', 'a', 'x'])).code).toBe(0);
  });

  it('exits with 3 when no node can be reached', async () => {
    for (const command of [['get', 'a'], ['put', 'a', 'x'], ['status'], ['member', 'list']]) {
      const ran = await run([...command, '--endpoints', deadEndpoint]);
      expect(ran.code).toBe(3);
      expect(ran.errors).toMatch(/^raftkv: No node can be reached: .*ECONNREFUSED.*\n$/);
    }
  });

  it('asks the next node when one knows no leader, and says so when none does', async () => {
    node.failure = new RaftkvError('no_leader', 'None is known.');
    const other = serve();
    const otherEndpoint = `http://127.0.0.1:${await listen(other.app)}`;
    expect((await run(['put', 'a', 'x', '--endpoints', `${endpoint},${otherEndpoint}`])).code).toBe(0);
    await other.app.close();
    expect(await on(['put', 'a', 'x', '--timeout', '300ms'])).toMatchObject({
      code: 5,
      errors: 'raftkv: None is known. (no_leader)\n',
    });
  });

  it('repeats a write whose answer is lost under its one key, and calls it unknown when the time is up', async () => {
    const keys: unknown[] = [];
    const broken = createServer((request) => {
      keys.push(request.headers['idempotency-key']);
      request.socket.destroy();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => broken.once('listening', resolve));
    const url = `http://127.0.0.1:${(broken.address() as AddressInfo).port}`;
    expect((await run(['put', 'a', 'x', '--endpoints', `${url},${endpoint}`])).code).toBe(0);
    expect((await run(['get', 'a', '--endpoints', `${url},${endpoint}`])).output).toBe('x');
    const lost = ['put', 'a', 'y', '--timeout', '300ms', '--endpoints', url];
    keys.length = 0;
    const written = await run(lost);
    expect(written).toMatchObject({ code: 4, errors: expect.stringContaining('not known whether') });
    expect(written.errors).toMatch(/\(outcome_unknown\)\n$/);
    expect(keys.length).toBeGreaterThan(1);
    expect(new Set(keys).size).toBe(1);
    const forPrograms = await run([...lost, '--json']);
    expect(forPrograms.code).toBe(4);
    expect(JSON.parse(forPrograms.errors)).toMatchObject({ code: 'outcome_unknown' });
    broken.close();
  });

  it('sends a change of the members once: a lost answer is an unknown outcome', async () => {
    let requests = 0;
    const broken = createServer((request) => {
      requests++;
      request.socket.destroy();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => broken.once('listening', resolve));
    const url = `http://127.0.0.1:${(broken.address() as AddressInfo).port}`;
    const removed = await run(['member', 'remove', 'n1', '--endpoints', `${url},${endpoint}`]);
    expect(removed).toMatchObject({ code: 4, errors: expect.stringContaining('not known whether') });
    expect([requests, node.calls]).toEqual([1, []]);
    broken.close();
  });

  it('says that something else answers there', async () => {
    const other = createServer((_, response) => response.writeHead(404).end('<html>')).listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const ran = await run(['get', 'a', '--endpoints', url]);
    expect(ran).toMatchObject({ code: 1, errors: expect.stringContaining('not of this server') });
    other.close();
  });
});

describe('usage', () => {
  it.each([
    [[]],
    [['nonsense']],
    [['put']],
    [['get']],
    [['get', 'a', 'b']],
    [['get', 'a', '--unknown']],
    [['get', 'a', '--revision', 'x']],
    [['get', 'a', '--revision', '-1']],
    [['get', 'a', '--timeout', '0s']],
    [['get', 'a', '--timeout', '5']],
    [['get', 'a', '--timeout', '2h']],
    // What Node makes of an argument that is not UTF-8.
    [['put', '\ufffd', 'x']],
    [['put', 'a', '\ufffd']],
    [['get', 'a\ufffd']],
    [['list', '--prefix', '\ufffd']],
    [['get', 'a', '--endpoints', 'ftp://x']],
    [['get', 'a', '--endpoints', '']],
    [['put', 'a', 'x', '--content-type', 'a\nb']],
    [['put', 'a', 'x', '--file', 'y']],
    [['put', 'a', '--file', '/nonexistent/file']],
    [['put', 'a', 'x', '--if-absent', '--if-revision', '1']],
    [['put', 'a', 'x', '--ttl', '30']],
    [['put', 'a', 'x', '--ttl', '500ms']],
    [['put', 'a', 'x', '--ttl', '30s', '--lease', '7']],
    [['watch']],
    [['watch', 'a', '--prefix', 'b']],
    [['watch', 'a', '--from-revision', '0']],
    [['txn', '/nonexistent/file']],
    [['lease']],
    [['lease', 'grant']],
    [['lease', 'grant', '30']],
    [['lease', 'show']],
    [['lock']],
    [['lock', 'l']],
    [['lock', 'l', '--ttl', 'x', '--', 'true']],
    [['lock', 'l', '--wait', '0', '--', 'true']],
    [['lock', 'l', '--wait', '2h', '--', 'true']],
    [['import', '/nonexistent/file']],
    [['import', '/']],
    [['import', 'a'.repeat(300)]],
    [['delete']],
    [['delete', 'a', '--prefix', 'b']],
    [['delete', '--prefix', 'b', '--if-revision', '1']],
    [['member']],
    [['member', 'add', 'n4']],
    [['member', 'set']],
    [['member', 'set', 'n1']],
    [['member', 'set', 'n1=h:1,']],
    [['member', 'set', 'n1=h:1=2']],
    [['member', 'set', 'n1=h:99999']],
    [['bench', '--operation', 'delete']],
    [['bench', '--clients', '0']],
    [['bench', '--clients', '1001']],
    [['bench', '--seconds', '0']],
    [['bench', '--seconds', '1.5']],
    [['bench', '--value-bytes', '-1']],
    [['bench', '--keys', '1000001']],
    [['bench', '--prefix', '\ufffd']],
    [['bench', 'put']],
    [['dev', '--nodes', '0']],
    [['dev', '--nodes', '10']],
    [['dev', '--base-http', '70000']],
    [['serve']],
    [['serve', '--id', 'n1', '--data-dir', 'd', '--http', 'nowhere']],
  ])('%j exits with 2', async (parameters) => {
    const ran = await run(parameters);
    expect(ran.code).toBe(2);
    expect(ran.errors).toMatch(/^raftkv: |^Usage: /);
    // No stack trace.
    expect(ran.errors).not.toMatch(/^\s+at .+:\d+:\d+/m);
    expect(node.calls).toEqual([]);
  });

  it('takes no empty standard input for a value', async () => {
    await on(['put', 'a', 'kept']);
    for (const parameters of [
      ['put', 'a'],
      ['put', 'a', '-'],
    ]) {
      const ran = await on(parameters, { input: '' });
      expect(ran).toMatchObject({ code: 2, output: '' });
      expect(ran.errors).toContain('Standard input is empty');
    }
    expect((await on(['get', 'a'])).output).toBe('kept');
    expect((await on(['put', 'a', ''])).code).toBe(0);
    expect((await on(['get', 'a'])).output).toBe('');
  });

  it('knows commands under the names that others give them', async () => {
    expect((await on(['set', 'a', '1'])).code).toBe(0);
    expect((await on(['ls'])).output).toContain('a');
    expect((await on(['del', 'a'])).code).toBe(0);
    expect((await on(['rm', 'a'])).code).toBe(1);
  });

  it('exits with 5 where the cluster can do nothing at the moment, and nothing was changed', async () => {
    node.failure = new RaftkvError('no_leader', 'No leader is known.');
    expect(await on(['put', 'a', 'x', '--timeout', '100ms'])).toMatchObject({ code: 5, output: '' });
    node.failure = new RaftkvError('overloaded', 'Too much.');
    expect(await on(['get', 'a', '--timeout', '100ms'])).toMatchObject({ code: 5, output: '' });
  });

  it('asks for the value on a terminal', async () => {
    expect(await on(['put', 'a'], { terminal: true })).toMatchObject({ code: 2 });
  });

  it.each(['put', 'get', 'delete', 'list', 'watch', 'txn', 'lock', 'export', 'import', 'status', 'bench'])(
    'shows how %s is used',
    async (command) => {
      const help = await run([command, '--help']);
      expect(help).toMatchObject({ code: 0, errors: '' });
      expect(help.output).toMatch(
        new RegExp(`\nFor example:\n {2}.*raftkv ${command}|\\| raftkv ${command}`),
      );
    },
  );

  it('shows defaults as they are written', async () => {
    const { output } = await run(['lock', '--help']);
    expect(output).toContain('(default: 5s)');
    expect(output).toContain('(default: 30s)');
  });

  it('shows the defaults of serve in the same way, and none that is empty', async () => {
    const { output } = await run(['serve', '--help']);
    expect(output.replaceAll(/\s+/g, ' ')).toContain('(default: 127.0.0.1:8101)');
    expect(output).not.toMatch(/\(default[: ]*\)|\(default [^:]/);
  });

  it('shows every default of serve and dev', async () => {
    const serveHelp = (await run(['serve', '--help'])).output.replaceAll(/\s+/g, ' ');
    for (const [name, setting] of Object.entries<Setting>(settings)) {
      const [, shown = ''] =
        new RegExp(`--${name}(?: <[^>]*>)? (.*?)(?: --[a-z]| -h, )`).exec(serveHelp) ?? [];
      expect(shown, name).not.toBe('');
      if (setting.default) expect(shown, name).toContain(`(default: ${setting.default})`);
      else expect(shown, name).not.toContain('(default');
    }
    const devHelp = (await run(['dev', '--help'])).output.replaceAll(/\s+/g, ' ');
    expect(devHelp.match(/\(default: [^)]*\)/g)).toEqual([
      '(default: 3)',
      '(default: data/dev)',
      '(default: 8101)',
      '(default: 7101)',
    ]);
  });

  it('shows the default of each option that has one, and what is done without the others', async () => {
    const shown = async (command: string) =>
      (await run([...command.split(' '), '--help'])).output
        .replaceAll(/\s+/g, ' ')
        .match(/\(default: [^)]*\)/g)
        ?.map((text) => text.slice('(default: '.length, -1));
    const endpoints = 'RAFTKV_ENDPOINTS, or ports 8101 to 8103 of 127.0.0.1';
    const everywhere = [endpoints, '5s'];
    expect(await shown('put')).toEqual(['application/octet-stream', ...everywhere]);
    expect(await shown('get')).toEqual(['the newest', ...everywhere]);
    expect(await shown('add')).toEqual(expect.arrayContaining(['0', ...everywhere]));
    expect(await shown('list')).toEqual(expect.arrayContaining(['all', 'the newest', ...everywhere]));
    expect(await shown('watch')).toEqual(['the next change', ...everywhere]);
    expect(await shown('compact')).toEqual(['the newest', ...everywhere]);
    expect(await shown('lock')).toEqual(['30s', 'not at all', ...everywhere]);
    for (const command of [
      'delete',
      'txn',
      'import',
      'status',
      'member list',
      'upgrade status',
      'lease list',
    ])
      expect(await shown(command), command).toEqual(everywhere);
  });

  it('says which argument is wrong', async () => {
    expect(await run(['add', 'visits', 'x'])).toMatchObject({
      code: 2,
      errors: "raftkv: the argument DELTA is invalid: 'x'. Give a whole number, such as 5 or -1.\n",
    });
  });

  it('shows help', async () => {
    const help = await run(['--help']);
    expect(help.code).toBe(0);
    const commands = ['serve', 'dev', 'put', 'get', 'delete', 'list', 'watch', 'txn', 'lease', 'lock'];
    for (const command of [...commands, 'export', 'import', 'status', 'member', 'leader', 'bench', 'sim']) {
      expect(help.output).toContain(`\n  ${command} `);
    }
  });
});
