import { readFileSync, statSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { createSecretFile } from '../../src/cli/secret.js';
import { membersOf } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { earlierProgram } from './earlier-program.js';
import { Load } from './load.js';
import { currentProgram } from './program.js';
import { until } from './wait.js';

let cluster: Cluster | undefined;
showLogsOfFailures(() => cluster);
afterEach(() => cluster?.remove());

/** A new secret in the cluster's directory. */
function secretFile(of: Cluster, name: string): string {
  const file = join(of.directory, name);
  createSecretFile(file);
  return file;
}

/** Replaces a file as a whole, so that nobody reads half of it. */
async function write(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

async function warningsOf(node: TestNode): Promise<readonly string[]> {
  return until(`the status of ${node.id}`, async () => (await node.status())?.warnings);
}

async function restart(of: Cluster, node: TestNode, flags: readonly string[]): Promise<void> {
  await node.stop();
  node.start(flags);
  await of.ready();
}

it('a node without the secret, or with another, joins nobody and says why', async () => {
  cluster = await Cluster.of(3);
  const secret = secretFile(cluster, 'secret');
  for (const node of cluster.nodes) node.start([...cluster.founding, '--cluster-secret-file', secret]);
  await cluster.ready();
  await cluster.put('kept', 'value');
  const leader = await cluster.leader();
  const join = ['--join', cluster.nodes.map(({ url }) => url).join(',')];

  const without = await cluster.addNode();
  const exit = await without.start(join).ended();
  expect(exit.code).toBe(1);
  expect(without.log).toContain('has no cluster secret. Start it with the --cluster-secret-file');

  const other = secretFile(cluster, 'other-secret');
  const stranger = await cluster.addNode();
  const run = stranger.start([...join, '--cluster-secret-file', other]);
  expect((await run.ended()).code).toBe(1);
  expect(stranger.log).toContain('has another cluster secret than this node');

  expect((await membersOf(leader.url)).map(({ id }) => id)).toEqual(['n1', 'n2', 'n3']);
  cluster.nodes.splice(3);

  const welcome = await cluster.addNode();
  welcome.start([...join, '--cluster-secret-file', secret]);
  await cluster.voters('n1', 'n2', 'n3', 'n4');
  expect(await warningsOf(leader)).toEqual([]);
});

it('a founding member without the secret is named, with what to do, and the others wait for it', async () => {
  cluster = await Cluster.of(3);
  const secret = secretFile(cluster, 'secret');
  const [n1, n2, n3] = cluster.nodes;
  if (!n1 || !n2 || !n3) throw new Error('There are three nodes.');
  const founding = cluster.founding;
  for (const node of [n1, n2]) node.start([...founding, '--cluster-secret-file', secret]);
  n3.start(founding);
  await until('n1 says what n3 lacks', async () => {
    const reason = (await n1.status())?.reason ?? '';
    return reason.includes('n3') && reason.includes('has no cluster secret') ? true : undefined;
  });
  await restartAs(n3, [...founding, '--cluster-secret-file', secret]);
  await cluster.ready();
});

it('a member that comes back with another secret is named in the status of each side, until its file is mended', async () => {
  cluster = await Cluster.of(3);
  const files = ['one', 'two', 'three'].map((name) =>
    secretFile(present(cluster, 'There is a cluster.'), name),
  );
  const [shared, , third] = files.map((file) => readFileSync(file, 'utf8'));
  await write(files[1] ?? '', shared ?? '');
  await write(files[2] ?? '', shared ?? '');
  const start = (node: TestNode, place: number, flags: readonly string[] = []) =>
    node.start([...flags, '--cluster-secret-file', files[place] ?? '']);
  for (const [place, node] of cluster.nodes.entries()) start(node, place, cluster.founding);
  await cluster.ready();
  const [n1, n2, n3] = cluster.nodes as [TestNode, TestNode, TestNode];
  expect((await Promise.all([n1, n2, n3].map(warningsOf))).flat()).toEqual([]);

  await n3.stop();
  await write(files[2] ?? '', third ?? '');
  start(n3, 2);
  const says = (node: TestNode, peer: TestNode) =>
    until(`${node.id} says what is wrong with ${peer.id}`, async () =>
      (await warningsOf(node)).some(
        (one) =>
          one.startsWith(`There is no connection to ${peer.id}. `) && one.includes('another cluster secret'),
      )
        ? true
        : undefined,
    );
  await says(n1, n3);
  await says(n3, n1);
  await cluster.put('kept', 'value');

  await write(files[2] ?? '', shared ?? '');
  await cluster.ready();
  await until('nothing left to mend', async () =>
    (await Promise.all([n1, n2, n3].map(warningsOf))).flat().length === 0 ? true : undefined,
  );
});

async function restartAs(node: TestNode, flags: readonly string[]): Promise<void> {
  await node.stop();
  node.start(flags);
}

/** Moves a running cluster from no secret to one, and to the next one, while clients write. */
async function moveToSecret(of: Cluster, load: Load): Promise<void> {
  const first = secretFile(of, 'secret');
  const permissive = ['--cluster-secret-file', first, '--peer-auth', 'permissive'];
  const [n1] = of.nodes;
  if (n1 === undefined) throw new Error('There is a first node.');

  for (const node of of.nodes) {
    node.program = currentProgram;
    await restart(of, node, permissive);
    await load.progress(20);
    expect(await warningsOf(node)).toContainEqual(expect.stringContaining('--peer-auth permissive'));
    // Also to those that have no secret yet, or do not know what one is.
    await until(`${node.id} connected to its peers`, async () =>
      (await warningsOf(node)).some((one) => one.includes('No peer is connected.')) ? undefined : true,
    );
  }
  await until('every node knows that all peers prove themselves', async () => {
    const warnings = await Promise.all(of.nodes.map(warningsOf));
    return warnings.flat().every((one) => one.includes('All connected peers do.')) ? true : undefined;
  });

  for (const node of of.nodes) {
    await restart(of, node, ['--cluster-secret-file', first]);
    await load.progress(20);
  }
  expect((await Promise.all(of.nodes.map(warningsOf))).flat()).toEqual([]);

  // Each node with a file of its own, as on machines of their own. No node is restarted.
  const old = readFileSync(first, 'utf8');
  const next = readFileSync(secretFile(of, 'next'), 'utf8');
  await write(first, `${next}${old}`);
  await load.progress(20);
  await write(first, next);
  await load.progress(20);
  // Of every two nodes at least one connects anew.
  for (const node of of.nodes.slice(1)) await restart(of, node, ['--cluster-secret-file', first]);
  await load.progress(20);
  expect(statSync(first).mode & 0o777).toBe(0o600);
}

it('a running cluster moves to a secret and to the next one, while clients write, and so do members of an earlier version', async () => {
  // On addresses where a secret would be needed.
  cluster = await Cluster.of(3, { peerHost: '0.0.0.0' });
  // Members that know no secret at all, and one that knows how to prove one and has none.
  const earlier = await earlierProgram();
  if ('program' in earlier) for (const node of cluster.nodes.slice(0, 2)) node.program = earlier.program;
  else console.info(`cluster-secret: no member is of an earlier version. ${earlier.reason}`);
  for (const node of cluster.nodes) {
    node.start([...cluster.founding, ...(node.program === currentProgram ? ['--insecure-peers'] : [])]);
  }
  await cluster.ready();
  const load = Load.start(cluster, { prefix: 'moved/', writers: 4 });
  await load.progress(20);
  await moveToSecret(cluster, load);
  await load.stop();
  await load.verify();
});
