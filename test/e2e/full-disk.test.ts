import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { remove } from './client.js';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { MEBIBYTE, SmallDisk } from './small-disk.js';
import { until } from './wait.js';

const DISK_MEBIBYTES = 192;
const VALUE = Buffer.alloc(MEBIBYTE / 2, 'v');

describe.skipIf(!SmallDisk.areAllowed)('data disks that fill up (needs root, to mount a tmpfs)', () => {
  let cluster: Cluster;
  let disks: readonly SmallDisk[];
  showLogsOfFailures(() => cluster);

  beforeEach(async () => {
    cluster = await Cluster.of(3, { flags: ['--client-routing', 'serve'] });
    disks = cluster.nodes.map(({ dataDirectory }) => SmallDisk.mount(dataDirectory, DISK_MEBIBYTES));
    for (const node of cluster.nodes) node.start(cluster.founding);
    await cluster.ready();
  });
  afterEach(async () => {
    for (const node of cluster.nodes) await node.kill();
    for (const disk of disks) disk.unmount();
    await cluster.remove();
  });

  const call = async (method: string, path: string, body?: Uint8Array<ArrayBuffer>) => {
    const url = `${cluster.nodes[0]?.url}/v1/${path}`;
    const answer = await fetch(url, { method, ...(body ? { body } : {}) });
    return { status: answer.status, text: await answer.text() };
  };
  /** Puts new keys until one is refused for want of room. */
  const putUntilRefused = () => {
    let count = 0;
    return until('a put refused for want of room', async () => {
      const answer = await call('PUT', `kv/k${count}`, VALUE);
      if (answer.status === 201) count += 1;
      // Which node leads may change meanwhile.
      return answer.status === 507 ? answer : undefined;
    });
  };
  const putTaken = () =>
    until('puts taken again', async () =>
      (await call('PUT', 'kv/after', VALUE)).status < 300 ? true : undefined,
    );
  const endedNone = () => expect(cluster.running).toHaveLength(3);
  const logsSay = (text: string) => cluster.nodes.filter(({ log }) => log.includes(text)).length;

  it('filled by this cluster itself, take deletions and compactions, and then puts again', async () => {
    expect((await call('PUT', 'kv/before', Buffer.from('x'))).status).toBe(201);
    const refusal = await putUntilRefused();
    expect(JSON.parse(refusal.text)).toMatchObject({ code: 'no_space' });
    expect((await call('GET', 'kv/before')).text).toBe('x');
    expect((await call('DELETE', 'kv?prefix=k')).status).toBe(200);
    expect((await call('POST', 'compact')).status).toBe(200);
    await putTaken();
    await cluster.settled();
    endedNone();
    expect(logsSay('starts again by itself')).toBe(0);
  });

  it('filled to the last byte by another program again and again, end no process and lose nothing', async () => {
    expect((await call('PUT', 'kv/before', Buffer.from('x'))).status).toBe(201);
    const deletions: Promise<unknown>[] = [];
    // A majority: the third would have nothing to write without a leader.
    await until('two nodes without room to write', async () => {
      for (const disk of disks) disk.fill();
      // Each of them is written to the log of whoever takes it.
      for (const { url } of cluster.nodes) {
        deletions.push(remove(url, 'nothing', { query: 'timeout=1s' }).catch(() => {}));
      }
      return logsSay('starts again by itself') >= 2 ? true : undefined;
    });
    for (const disk of disks) disk.release();
    await Promise.all(deletions);
    await cluster.ready();
    await until('the value read', async () =>
      (await call('GET', 'kv/before')).text === 'x' ? true : undefined,
    );
    await putTaken();
    await cluster.settled();
    endedNone();
  });

  it('filled before their start wait for room, and end in good order when they are told to stop meanwhile', async () => {
    expect((await call('PUT', 'kv/before', Buffer.from('x'))).status).toBe(201);
    for (const node of cluster.nodes) await node.kill();
    for (const disk of disks) {
      rmSync(join(disk.path, 'RESERVE'), { force: true });
      disk.fill();
    }
    for (const node of cluster.nodes) node.start();
    await until('every node waiting for room', () => (logsSay('waits for room') === 3 ? true : undefined));
    endedNone();
    const [one] = cluster.nodes;
    const { status, text } = await until('an answer', () => call('GET', 'kv/before').catch(() => undefined));
    const reason = 'waiting for room on its disk';
    expect([status, JSON.parse(text)]).toMatchObject([503, { code: 'not_ready', reason }]);
    expect((await fetch(`${one?.url}/readyz`)).status).toBe(503);
    for (const path of ['healthz', 'metrics']) expect((await fetch(`${one?.url}/${path}`)).status).toBe(200);
    expect(await one?.stop()).toEqual({ code: 0, signal: null });
    expect(one?.run?.output).toContain('This node stops: SIGTERM arrived.');
    one?.start();
    for (const disk of disks) disk.release();
    await cluster.ready();
    expect((await call('GET', 'kv/before')).text).toBe('x');
    endedNone();
  });

  it('with a reserve take deletions although another program took all the rest', async () => {
    await until('a reserve on every disk', () =>
      disks.every(({ path }) => reservedIn(path) === (DISK_MEBIBYTES / 8) * MEBIBYTE) ? true : undefined,
    );
    expect((await call('PUT', 'kv/before', Buffer.from('x'))).status).toBe(201);
    for (const disk of disks) disk.fill();
    await until('the reserve given up', () =>
      disks.every(({ path }) => reservedIn(path) === 0) ? true : undefined,
    );
    await until('the deletion done', async () =>
      (await call('DELETE', 'kv/before')).status < 300 ? true : undefined,
    );
    await putUntilRefused();
    for (const disk of disks) disk.release();
    await putTaken();
    await until('the reserve taken again', () =>
      disks.every(({ path }) => reservedIn(path) > 0) ? true : undefined,
    );
    endedNone();
  });
});

/** The size of the file that a node keeps so that other programs do not take its room; 0 without one. */
function reservedIn(path: string): number {
  return statSync(join(path, 'RESERVE'), { throwIfNoEntry: false })?.size ?? 0;
}
