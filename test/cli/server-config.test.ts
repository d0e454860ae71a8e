import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { environmentVariable, loadServerConfig } from '../../src/cli/server-config.js';
import { settingNames, settings } from '../../src/cli/settings.js';
import { RaftkvError } from '../../src/errors.js';

const minimal = { id: 'n1', 'data-dir': 'd' };

async function problems(
  flags: Parameters<typeof loadServerConfig>[0],
  environment: NodeJS.ProcessEnv = {},
): Promise<string[]> {
  try {
    await loadServerConfig(flags, environment);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(RaftkvError);
    expect((error as RaftkvError).code).toBe('usage');
    return (error as RaftkvError).message.split('\n');
  }
}

function file(content: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'raftkv-config-')), 'node.yaml');
  writeFileSync(path, content);
  return path;
}

describe('defaults and precedence', () => {
  it('fills everything but the id and the data directory', async () => {
    expect(await loadServerConfig(minimal, {})).toEqual({
      id: 'n1',
      dataDirectory: 'd',
      http: { host: '127.0.0.1', port: 8101 },
      peer: { host: '127.0.0.1', port: 7101 },
      advertiseHttp: 'http://127.0.0.1:8101',
      advertisePeer: '127.0.0.1:7101',
      clusterSecretFile: null,
      peerAuth: 'required',
      firstStart: { kind: 'none' },
      clientRouting: 'redirect',
      allowedHosts: [],
      corsOrigins: [],
      logLevel: 'info',
      valueBytesMax: 1_048_576,
      logEntriesMax: 100_000,
      logBytesMax: 67_108_864,
      upgradeDelayMs: 600_000,
    });
  });

  it('prefers a flag to the environment, that to the file, and that to the default', async () => {
    const config = file('id: file\ndata-dir: file\nlog-level: debug\nhttp: 127.0.0.1:1\n');
    const loaded = await loadServerConfig(
      { config, id: 'flag' },
      { RAFTKV_ID: 'environment', RAFTKV_DATA_DIR: 'environment', RAFTKV_HTTP: '' },
    );
    expect(loaded).toMatchObject({
      id: 'flag',
      dataDirectory: 'environment',
      logLevel: 'debug',
      http: { port: 1 },
      clientRouting: 'redirect',
    });
  });

  it('takes client URLs beside the members of a new cluster, for a member whose disk is new', async () => {
    const flags = {
      id: 'n1',
      'data-dir': 'd',
      'initial-cluster': 'n1=127.0.0.1:7101',
      join: 'http://h2:8101',
    };
    expect((await loadServerConfig(flags, {})).firstStart).toEqual({
      kind: 'initialCluster',
      members: [{ id: 'n1', peerAddress: '127.0.0.1:7101' }],
      join: ['http://h2:8101'],
    });
  });

  it('finds the file through the environment, and takes mappings and lists in it', async () => {
    const config = file('id: n1\ndata-dir: d\ninitial-cluster:\n  n1: 127.0.0.1:7101\n  n2: h2:7101\n');
    expect((await loadServerConfig({}, { RAFTKV_CONFIG: config })).firstStart).toEqual({
      kind: 'initialCluster',
      members: [
        { id: 'n1', peerAddress: '127.0.0.1:7101' },
        { id: 'n2', peerAddress: 'h2:7101' },
      ],
    });
    const joining = file('id: n4\ndata-dir: d\njoin: [http://h1:8101, http://h2:8101/]\n');
    expect((await loadServerConfig({ config: joining }, {})).firstStart).toEqual({
      kind: 'join',
      endpoints: ['http://h1:8101', 'http://h2:8101'],
    });
  });

  it('lets the strongest source decide about the first start', async () => {
    const environment = { RAFTKV_JOIN: 'http://h:1' };
    expect((await loadServerConfig({ ...minimal, single: 'true' }, environment)).firstStart).toEqual({
      kind: 'single',
    });
  });

  it('has an environment variable for every setting', () => {
    expect(settingNames.map(environmentVariable)).toContain('RAFTKV_ADVERTISE_PEER');
  });

  it('takes names and origins as browsers write them, from wherever they are given', async () => {
    const given = {
      'allowed-host': 'KV.Example.com, proxy,10.0.0.9',
      'cors-origin': 'https://App.example.com:443/, http://localhost:3000,http://[::1]:80',
    };
    const read = {
      allowedHosts: ['kv.example.com', 'proxy', '10.0.0.9'],
      corsOrigins: ['https://app.example.com', 'http://localhost:3000', 'http://[::1]'],
    };
    expect(await loadServerConfig({ ...minimal, ...given }, {})).toMatchObject(read);
    const environment = {
      RAFTKV_ALLOWED_HOST: given['allowed-host'],
      RAFTKV_CORS_ORIGIN: given['cors-origin'],
    };
    expect(await loadServerConfig(minimal, environment)).toMatchObject(read);
    const lists = Object.entries(given).map(
      ([name, text]) => `${name}: [${text.split(',').map((part) => `'${part}'`)}]`,
    );
    expect(await loadServerConfig({ ...minimal, config: file(lists.join('\n')) }, {})).toMatchObject(read);
    const none = { allowedHosts: [], corsOrigins: [] };
    expect(await loadServerConfig(minimal, {})).toMatchObject(none);
    const emptied = { ...minimal, 'allowed-host': '', 'cors-origin': '', config: file(lists.join('\n')) };
    expect(await loadServerConfig(emptied, {})).toMatchObject(none);
  });

  it('takes IPv6 addresses in brackets', async () => {
    const loaded = await loadServerConfig({ ...minimal, http: '[::1]:8101', peer: '[::1]:7101' }, {});
    expect(loaded).toMatchObject({
      http: { host: '::1', port: 8101 },
      advertiseHttp: 'http://[::1]:8101',
      advertisePeer: '[::1]:7101',
    });
  });
});

describe('problems', () => {
  it('has one line for each, all at once', async () => {
    const lines = await problems({ http: 'x', 'log-level': 'loud' });
    expect(lines).toHaveLength(4);
    expect(lines.join()).toMatch(
      /--id is missing.*--data-dir is missing.*--http is "x".*--log-level is "loud"/,
    );
  });

  it.each([
    [{ id: 'a b' }, '--id is "a b"'],
    [{ id: '' }, '--id is ""'],
    [{ http: '127.0.0.1' }, '--http'],
    [{ http: ':8101' }, '--http'],
    [{ http: '127.0.0.1:0' }, '--http'],
    [{ http: '127.0.0.1:65536' }, '--http'],
    [{ http: '0.0.0.0:8101' }, '--advertise-http'],
    [{ peer: '[::]:7101', 'insecure-peers': 'true' }, '--advertise-peer'],
    [{ peer: '10.0.0.1:7101' }, '--insecure-peers'],
    [{ peer: 'n1.example:7101' }, '--cluster-secret-file'],
    [{ 'cluster-secret-file': 's', 'insecure-peers': 'true' }, 'exclude each other'],
    [{ 'peer-auth': 'permissive' }, 'without a cluster secret'],
    [{ 'cluster-secret-file': 's', 'peer-auth': 'no' }, 'required or permissive'],
    [{ 'insecure-peers': 'perhaps' }, 'true or false'],
    [{ 'advertise-http': 'http://0.0.0.0:8101' }, 'cannot connect'],
    [{ 'advertise-http': 'h:8101' }, '--advertise-http'],
    [{ 'advertise-http': 'http://h:8101/path' }, '--advertise-http'],
    [{ 'advertise-peer': 'http://h:1' }, '--advertise-peer'],
    [{ 'client-routing': 'proxy' }, 'redirect or serve'],
    [{ 'value-bytes-max': '0' }, '--value-bytes-max'],
    [{ 'value-bytes-max': '1e9' }, '--value-bytes-max'],
    [{ 'log-entries-max': '-1' }, '--log-entries-max'],
    [{ join: 'nowhere' }, '--join'],
    [{ single: 'true', join: 'http://h:1' }, 'exclude each other'],
    [{ 'initial-cluster': 'n2=127.0.0.1:7102' }, 'does not name this node, n1'],
    [{ 'initial-cluster': 'n1=127.0.0.1:7109' }, 'Make them equal'],
    [{ 'initial-cluster': 'n1=127.0.0.1:7101,n1=h:1' }, 'n1 twice'],
    [{ 'initial-cluster': 'n1=127.0.0.1:7101,n2=127.0.0.1:7101' }, '127.0.0.1:7101 twice'],
    [{ 'initial-cluster': 'n1' }, 'ID=HOST:PORT'],
    [{ 'initial-cluster': 'n1=127.0.0.1:7101,' }, 'ID=HOST:PORT'],
    [{ config: '/nonexistent/x.yaml' }, 'cannot be read'],
  ])('%j is refused in one line', async (flags, words) => {
    const lines = await problems({ ...minimal, ...flags });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(words);
  });

  it.each([
    ...[
      'kv.example.com:8101',
      'http://kv.example.com',
      '*',
      '*.example.com',
      'a b',
      'a,,b',
      ',',
      '.',
      '[::1]',
    ],
  ])('--allowed-host %j is refused', async (text) => {
    expect(await problems({ ...minimal, 'allowed-host': text })).toEqual([
      `--allowed-host is ${JSON.stringify(text)}, and must be ${settings['allowed-host'].expects}.`,
    ]);
  });

  it.each([
    ...[
      'app.example.com',
      '*',
      'null',
      'https://*',
      'https://*.example.com',
      'https://a/path',
      'https://a?x',
    ],
    ...[
      'https://a#x',
      'https://user@a',
      'ftp://a',
      'https://',
      'https://a b',
      'https://a,',
      'https://a:99999',
    ],
  ])('--cors-origin %j is refused', async (text) => {
    expect(await problems({ ...minimal, 'cors-origin': text })).toEqual([
      `--cors-origin is ${JSON.stringify(text)}, and must be ${settings['cors-origin'].expects}.`,
    ]);
  });

  it.each([
    ['port: 5', 'unknown name "port"'],
    ['config: other.yaml', 'unknown name "config"'],
    ['- a', 'name: value'],
    ['id: [n1]', '"id" has a value of the wrong kind'],
    ['initial-cluster: {n1: 7101}', 'wrong kind'],
    ['a: b: c', 'cannot be read'],
    ['http: nowhere', '"http" in'],
  ])('a file with %j is refused', async (content, words) => {
    const lines = await problems({ ...minimal, config: file(content) });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(words);
  });

  it.each([
    [{ peer: '10.0.0.1:7101', 'cluster-secret-file': 's' }],
    [{ peer: '10.0.0.1:7101', 'insecure-peers': 'true' }],
    [{ peer: '127.0.0.2:7101' }],
    [{ peer: '[::1]:7101' }],
    [{ peer: 'localhost:7101', 'insecure-peers': 'false' }],
  ])('%j says enough about who the peers are', async (flags) => {
    expect(await problems({ ...minimal, ...flags })).toEqual([]);
  });

  it('names the variable that is wrong', async () => {
    expect(await problems(minimal, { RAFTKV_LOG_LEVEL: 'loud' })).toEqual([
      expect.stringContaining('RAFTKV_LOG_LEVEL is "loud"'),
    ]);
  });

  it('accepts an empty file', async () => {
    expect(await problems({ ...minimal, config: file('# nothing yet\n') })).toEqual([]);
  });
});

describe('the samples', () => {
  const directory = new URL('../../config/', import.meta.url).pathname;
  it.each(readdirSync(directory).filter((name) => name.endsWith('.yaml')))('%s is valid', async (name) => {
    const loaded = await loadServerConfig({ config: join(directory, name) }, {});
    expect(loaded.firstStart.kind).not.toBe('none');
  });
});
