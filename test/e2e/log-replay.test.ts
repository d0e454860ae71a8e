import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeCommand } from '../../src/kv/command-codec.js';
import { EntryKind } from '../../src/raft/types.js';
import { LevelDirectory } from '../../src/storage/level-store.js';
import { LogStore } from '../../src/storage/log-store.js';
import { get } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { until } from './wait.js';

const ENTRIES = 100_000;
const ENTRIES_PER_WRITE = 500;
const VALUE = Buffer.from('v'.repeat(256));

describe('a long log', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(1, { flags: ['--log-entries-max', String(2 * ENTRIES)] });
  });
  afterAll(() => cluster?.remove());

  it(`of ${ENTRIES} entries that the state has not seen is replayed at the start`, async () => {
    const node = cluster.node('n1');
    await node.stop();
    await lengthenLog(node.dataDirectory);

    const applied = await startUntilRead(node);
    await node.kill();
    const loaded = await startUntilRead(node);
    const rounded = [applied.wallMs, applied.processorMs, loaded.wallMs].map(Math.round);
    console.info(
      `log replay: ${ENTRIES} entries, none of which the state has, read and applied in ${rounded[0]} ms ` +
        `(${rounded[1]} ms of processor time); with the state on disk, as after a crash, ready in ${rounded[2]} ms`,
    );
    const status = await node.status();
    expect([status?.firstIndex, Number(status?.lastIndex) > ENTRIES]).toEqual([1, true]);
  });
});

/** Starts the node and waits for a linearizable read of the last entry, which waits for everything before it. */
async function startUntilRead(node: TestNode): Promise<{ wallMs: number; processorMs: number }> {
  const startedAt = performance.now();
  const run = node.start();
  await until('the last entry read', async () => {
    if (run.exit !== undefined) throw new Error(run.errors);
    const outcome = await get(node.url, `replay/${ENTRIES - 1}`);
    return outcome.kind === 'found' ? true : undefined;
  });
  const wallMs = performance.now() - startedAt;
  return { wallMs, processorMs: await processorMs(run.pid) };
}

/** Processor time of a process so far; 0 where the system does not tell. */
async function processorMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name in brackets may hold spaces. After it, the 12th and 13th field: user and system time in ticks of 10 ms.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10;
}

/** Appends to the log of a stopped node as the node itself would, without the hours of a busy disk. */
async function lengthenLog(dataDirectory: string): Promise<void> {
  const directory = await LevelDirectory.at(dataDirectory);
  const store = await directory.open('log');
  const log = await LogStore.open(store);
  const { hardState } = log;
  for (let written = 0; written < ENTRIES; written += ENTRIES_PER_WRITE) {
    const next = log.lastIndex + 1;
    const entries = Array.from({ length: ENTRIES_PER_WRITE }, (_, offset) => ({
      index: next + offset,
      term: hardState.term,
      kind: EntryKind.command,
      payload: encodeCommand({
        kind: 'put',
        key: Buffer.from(`replay/${written + offset}`),
        value: VALUE,
        contentType: '',
      }),
    }));
    await log.write({
      sequence: 1 + written,
      hardState,
      snapshot: null,
      compact: null,
      truncateFrom: null,
      entries,
    });
  }
  await store.close();
}
