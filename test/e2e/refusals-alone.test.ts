import { chmod, cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { get, put } from './client.js';
import { Cluster, showLogsOfFailures, TestNode } from './cluster.js';
import { freePorts } from './ports.js';
import { ProgramRun } from './program.js';
import { contentsOf, damage, expectRefusal } from './refusals.js';

const VALUES = 400;
const VALUE = 'v'.repeat(1000);

describe('a start that cannot be', () => {
  let directory: string;
  let addresses: readonly string[];
  const runs: ProgramRun[] = [];
  const servers: Server[] = [];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'raftkv-e2e-'));
    const [http, peer] = await freePorts(2);
    addresses = ['--http', `127.0.0.1:${http}`, '--peer', `127.0.0.1:${peer}`];
  });
  afterEach(async () => {
    await Promise.all(runs.splice(0).map((run) => run.kill()));
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  function serve(dataDirectory: string, ...flags: readonly string[]): ProgramRun {
    const run = new ProgramRun(['serve', '--id', 'n1', '--data-dir', dataDirectory, ...addresses, ...flags]);
    runs.push(run);
    return run;
  }

  async function occupy(): Promise<number> {
    const [port = 0] = await freePorts(1);
    const server = createServer();
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return port;
  }

  it.each([
    [['--wrong'], /unknown option '--wrong'/],
    [['--http', '127.0.0.1:99999'], /--http is "127\.0\.0\.1:99999", and must be HOST:PORT/],
    [['--single', '--join', 'http://127.0.0.1:1'], /--single.*exclude each other|--join.*exclude each other/],
    [['--initial-cluster', 'n2=127.0.0.1:1'], /does not name this node, n1\. Add n1=/],
    [['--config', 'missing.yaml', '--single'], /missing\.yaml cannot be read/],
  ] as const)('with %j is a mistake of usage', async (flags, said) => {
    const unused = join(directory, 'unused');
    await expectRefusal(serve(unused, ...flags), 2, said);
    expect(await readdir(directory)).not.toContain('unused');
  });

  it('with an empty directory and no word on how to start leaves the directory empty', async () => {
    const mountPoint = join(directory, 'mount-point');
    await mkdir(mountPoint);
    await expectRefusal(
      serve(mountPoint),
      2,
      /--initial-cluster .*--join .*--single/,
      /check --data-dir and the mount/,
    );
    expect(await readdir(mountPoint)).toEqual([]);
  });

  it("with somebody else's directory leaves it as it is", async () => {
    const foreign = join(directory, 'foreign');
    await mkdir(foreign);
    await writeFile(join(foreign, 'notes.txt'), 'mine');
    const before = await contentsOf(foreign);
    await expectRefusal(serve(foreign, '--single'), 1, /not raftkv's \(notes\.txt\)/, /Nothing was changed/);
    expect(await contentsOf(foreign)).toEqual(before);
  });

  it('with a file in place of the directory says so', async () => {
    const file = join(directory, 'file');
    await writeFile(file, 'x');
    await expectRefusal(serve(file, '--single'), 1, /is not a directory\. Name a directory/);
  });

  // The superuser may read everything.
  it.skipIf(process.getuid?.() === 0)('with a directory that it may not read says so', async () => {
    const secret = join(directory, 'secret');
    await mkdir(secret);
    await chmod(secret, 0o000);
    await expectRefusal(serve(secret, '--single'), 1, /There is no permission to use .*secret/);
  });

  it('with an occupied port names it and the flag, and the same directory serves once it is free', async () => {
    const data = join(directory, 'ports');
    const http = await occupy();
    await expectRefusal(
      serve(data, '--single', '--http', `127.0.0.1:${http}`),
      1,
      new RegExp(`127\\.0\\.0\\.1:${http} is in use by another process`),
      /--http/,
    );
    const peer = await occupy();
    await expectRefusal(
      serve(data, '--single', '--peer', `127.0.0.1:${peer}`),
      1,
      new RegExp(`127\\.0\\.0\\.1:${peer} is in use by another process`),
      /--peer/,
    );
  });
});

describe('a directory that was in use', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(1);
    const { url } = cluster.node('n1');
    await Promise.all(Array.from({ length: VALUES }, (_, place) => put(url, `key/${place}`, VALUE)));
  });
  afterAll(() => cluster?.remove());

  it('is refused to a second process while the first one goes on', async () => {
    const node = cluster.node('n1');
    const [http, peer] = await freePorts(2);
    const second = new ProgramRun([
      ...['serve', '--id', 'n1', '--data-dir', node.dataDirectory],
      ...['--http', `127.0.0.1:${http}`, '--peer', `127.0.0.1:${peer}`],
    ]);
    await expectRefusal(second, 1, /is in use by another process/, /--data-dir|another data directory/);
    expect(await get(node.url, 'key/1')).toMatchObject({ kind: 'found' });
  });

  it('is refused to a node of another name', async () => {
    const node = cluster.node('n1');
    await node.stop();
    const parameters = node.parameters.map((parameter) => (parameter === 'n1' ? 'n7' : parameter));
    await expectRefusal(new ProgramRun(parameters), 1, /belongs to n1.*started as n7/, /--id n1.*--data-dir/);
    node.start();
    await cluster.ready();
    expect(await get(node.url, 'key/399')).toMatchObject({ kind: 'found' });
  });

  it.each([
    ['log', 'log'],
    ['state', 'state-1'],
  ])('is refused when a file of its %s is damaged', async (store, name) => {
    await cluster.node('n1').kill();
    const copy = `${cluster.node('n1').dataDirectory}-${store}`;
    await cp(cluster.node('n1').dataDirectory, copy, { recursive: true });
    await damage(join(copy, name));
    const { id, httpPort, peerPort } = cluster.node('n1');
    const damaged = new TestNode(id, copy, httpPort, peerPort, {});
    const line = await expectRefusal(damaged.start(), 1, `${store} is damaged`, /Nothing was changed/);
    expect(line).toMatch(new RegExp(`/${name}/\\d+\\.(?:ldb|log), at byte \\d+`));
    // The same again: the first look has not mended or lost anything.
    expect(await expectRefusal(damaged.start(), 1)).toBe(line);
  });
});
