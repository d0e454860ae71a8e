import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { until } from './wait.js';

const MEBIBYTE = 1024 * 1024;

/** A small disk in memory, which root can make on Linux; undefined elsewhere. */
function smallDisk(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  const path = mkdtempSync(join(tmpdir(), 'raftkv-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512m', 'tmpfs', path], { stdio: 'ignore' });
    return path;
  } catch {
    rmSync(path, { recursive: true });
    return undefined;
  }
}

const disk = smallDisk();

describe.skipIf(disk === undefined)('a data disk that fills up (needs root, to mount a tmpfs)', () => {
  const path = disk ?? '';
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3, { directory: path, flags: ['--client-routing', 'serve'] });
  });
  afterAll(async () => {
    await cluster?.remove();
    execFileSync('umount', [path]);
    rmSync(path, { recursive: true, force: true });
  });

  const call = async (method: string, key: string, body?: Uint8Array<ArrayBuffer>) => {
    const node = cluster.running[0];
    const answer = await fetch(`${node?.url}/v1/kv/${key}`, { method, ...(body ? { body } : {}) });
    return { status: answer.status, text: await answer.text() };
  };

  it('ends no node: what needs room is refused, the rest goes on, and all of it when there is room again', async () => {
    expect((await call('PUT', 'before', Buffer.from('x'))).status).toBe(201);
    const filler = join(path, 'filler');
    const { bavail, bsize } = statfsSync(path);
    writeFileSync(filler, Buffer.alloc(bavail * bsize - 240 * MEBIBYTE));
    const value = Buffer.alloc(100_000, 'v');
    let written = 0;
    const refusal = await until('a change refused for want of room', async () => {
      const answer = await call('PUT', `k${written}`, value);
      if (answer.status === 201) written += 1;
      // Which leads may change meanwhile.
      return answer.status === 507 ? answer : undefined;
    });
    expect(JSON.parse(refusal.text)).toMatchObject({ code: 'no_space' });
    expect((await call('GET', 'before')).text).toBe('x');
    expect((await call('DELETE', 'before')).status).toBe(200);
    expect(cluster.running).toHaveLength(3);
    truncateSync(filler);
    await until('changes taken again', async () =>
      (await call('PUT', 'after', value)).status === 201 ? true : undefined,
    );
    await cluster.settled();
    expect(cluster.running).toHaveLength(3);
  });
});
