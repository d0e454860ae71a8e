import { cp, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { filesOf, flip, spoil } from '../storage/damage-kit.js';
import { put } from './client.js';
import { type Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { runToEnd } from './program.js';
import { clusterWithTables } from './tables.js';

describe('raftkv check', () => {
  let cluster: Cluster;
  let node: TestNode;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await clusterWithTables();
    node = cluster.node('n1');
  });
  afterAll(() => cluster?.remove());

  /** Everything in the directory: what a check must leave as it is. */
  async function contents(): Promise<readonly string[]> {
    const names = (await readdir(node.dataDirectory, { recursive: true })).toSorted();
    return await Promise.all(
      names.map(async (name) => {
        const path = join(node.dataDirectory, name);
        const { mtimeMs, size } = await stat(path);
        const content = (await stat(path)).isFile() ? (await readFile(path)).toString('base64') : '';
        return `${name} ${size} ${mtimeMs} ${content}`;
      }),
    );
  }

  it('finds nothing in a directory that is whole, and changes nothing in it', async () => {
    const before = await contents();
    const { exit, output, errors } = await runToEnd(['check', node.dataDirectory]);
    expect([exit?.code, errors]).toEqual([0, '']);
    expect(output).toMatch(/^whole: log and state-1, \d+\.\d MiB, \d+ records of the state\n$/);
    expect(await contents()).toEqual(before);
  });

  it('names each damaged file, in a line or in JSON, and exits with 1', async () => {
    const files = [
      ...(await filesOf(join(node.dataDirectory, 'log'))),
      ...(await filesOf(join(node.dataDirectory, 'state-1'))),
    ].filter(({ name, size }) => name.endsWith('.ldb') && size > 0);
    const mends = [];
    for (const { path } of files) mends.push(await spoil(path, flip(8 * 20)));
    const before = await contents();
    const told = await runToEnd(['check', node.dataDirectory]);
    const asJson = await runToEnd(['check', node.dataDirectory, '--json']);
    expect(await contents()).toEqual(before);
    for (const mend of mends) await mend();
    expect([told.exit?.code, asJson.exit?.code]).toEqual([1, 1]);
    for (const { path } of files)
      expect(told.output).toContain(
        `damage: ${path}, at byte 0: a block there does not match its checksum.\n`,
      );
    expect(told.errors).toContain(`is damaged in ${files.length} places. If the other members`);
    const { whole, findings } = JSON.parse(asJson.output);
    expect([whole, findings.length]).toEqual([false, files.length]);
    expect(findings[0]).toEqual({
      kind: 'damage',
      store: 'log',
      file: files[0]?.name,
      offset: 0,
      what: 'a block there does not match its checksum',
    });
  });

  it('finds that the state is missing', async () => {
    const state = join(node.dataDirectory, 'state-1');
    const aside = join(cluster.directory, 'aside');
    await rename(state, aside);
    const { exit, output } = await runToEnd(['check', node.dataDirectory]);
    await rename(aside, state);
    expect([exit?.code, output]).toEqual([1, 'damage: state-1: The state, state-1, is missing.\n']);
  });

  it('exits with 2 where it cannot look: a node runs there, or there is nothing', async () => {
    node.start();
    await cluster.ready();
    const running = await runToEnd(['check', node.dataDirectory]);
    expect([running.exit?.code, running.errors]).toEqual([
      2,
      expect.stringContaining('is in use by another process'),
    ]);
    // The check has not taken the node's lock away.
    const again = await runToEnd(['check', node.dataDirectory]);
    expect(again.exit?.code).toBe(2);
    expect((await put(node.url, 'key-0', 'still here')).kind).toBe('done');
    await node.stop();
    expect((await runToEnd(['check', node.dataDirectory])).exit?.code).toBe(0);
    const nothing = await runToEnd(['check', join(cluster.directory, 'nothing')]);
    expect([nothing.exit?.code, nothing.errors]).toEqual([
      2,
      expect.stringContaining('holds no log of a node'),
    ]);
    expect((await runToEnd(['check'])).exit?.code).toBe(2);
  });

  it('leaves nothing among the temporary files', async () => {
    const temporary = join(cluster.directory, 'temporary');
    await cp(join(node.dataDirectory, 'RAFTKV'), join(temporary, 'RAFTKV'), { recursive: true });
    await runToEnd(['check', node.dataDirectory], { environment: { TMPDIR: temporary } });
    expect(await readdir(temporary)).toEqual(['RAFTKV']);
  });
});
