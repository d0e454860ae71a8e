import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { present } from '../../src/assert.js';
import { checkDirectory } from '../../src/check-directory.js';
import { Prng } from '../../src/sim/prng.js';
import { LogEnd } from '../../src/storage/log-end.js';
import { copyOf, flipInPlace } from '../storage/damage-kit.js';
import { lastRecord, tailOf, tear } from '../storage/log-tail.js';
import { call, put } from './client.js';
import { Cluster, showLogsOfFailures, type TestNode } from './cluster.js';
import { SmallDisk } from './small-disk.js';
import { until } from './wait.js';

const NOT_IN_ORDER = 'The last run of this node did not end in order';

describe('a follower whose log lost its end while it was stopped', () => {
  let cluster: Cluster;
  let leader: TestNode;
  let damaged: TestNode;
  let behind: TestNode;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
    leader = await cluster.leader();
    [damaged, behind] = cluster.nodes.filter((node) => node !== leader) as [TestNode, TestNode];
    // So that the leader and the one whose disk is damaged are the majority that acknowledges.
    await behind.kill();
    await cluster.put('kept', 'acknowledged');
    await damaged.kill();
    await leader.kill();
  });
  afterAll(() => cluster?.remove());

  it('does not start with a flipped bit in its last record', async () => {
    const { path, record } = await lastRecord(damaged.dataDirectory);
    await flipInPlace(path, 8 * (record.offset + 40) + 3);
    const run = damaged.start();
    expect((await run.ended()).code).toBe(1);
    expect(run.errors).toContain(`The node's log is damaged: ${path}, at byte ${record.offset}`);
    await flipInPlace(path, 8 * (record.offset + 40) + 3);
  });

  it('does not start, so it is no majority with one that never had the acknowledged write', async () => {
    await loseFrom(damaged.dataDirectory, 'acknowledged');
    const run = damaged.start();
    behind.start();
    expect((await run.ended()).code).toBe(1);
    expect(run.errors).toMatch(
      /^raftkv: The end of the node's log is lost\. On disk it had reached index \d+/m,
    );
    expect(run.errors).toMatch(
      /remove the member from the cluster, wipe its data directory and start it with --join/,
    );
    expect(run.errors).not.toMatch(/^ +at /m);
    const status = await until('the status of the other', () => behind.status().catch(() => undefined));
    expect(status.leader).toBeFalsy();
  });

  it('and neither does it at its next start, when LevelDB has dropped the record for good', async () => {
    const run = damaged.start();
    expect((await run.ended()).code).toBe(1);
    expect(run.errors).toContain("The end of the node's log is lost.");
  });

  it('joins anew as a learner, and the acknowledged write is there', async () => {
    leader.start();
    await until('the write read from the others', async () => {
      const answer = await call(behind.url, '/v1/kv/kept').catch(() => undefined);
      return answer?.status === 200 && (await answer.text()) === 'acknowledged' ? true : undefined;
    });
    await cluster.removeMember(damaged.id);
    const fresh = await cluster.replacementOf(damaged);
    fresh.start(['--join', leader.url]);
    await cluster.voters('n1', 'n2', 'n3');
    await cluster.ready();
    expect(await (await call(fresh.url, '/v1/kv/kept?redirect=never')).text()).toBe('acknowledged');
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  });
});

describe('a power loss on all nodes at once', () => {
  let cluster: Cluster;
  const acknowledged = new Map<string, string>();
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  it('in the middle of writes leaves torn tails, and they elect a leader that has all that was acknowledged', async () => {
    const random = new Prng(5, 'power');
    let torn = 0;
    for (let loss = 0; loss < 4; loss += 1) {
      let isOver = false;
      const writers = cluster.nodes.map(async ({ id, url }) => {
        for (let count = 0; !isOver; count += 1) {
          const key = `${id}-${loss}-${count}`;
          const outcome = await put(url, key, `value of ${key}`);
          if (outcome.kind === 'done') acknowledged.set(key, `value of ${key}`);
        }
      });
      const before = acknowledged.size;
      await until('writes acknowledged', async () => (acknowledged.size > before + 20 ? true : undefined));
      await Promise.all(cluster.nodes.map((node) => node.kill()));
      isOver = true;
      await Promise.all(writers);
      for (const node of cluster.nodes) if ((await tear(node.dataDirectory, random)) > 0) torn += 1;
      for (const node of cluster.nodes) node.start();
      await cluster.ready();
    }
    expect(torn).toBeGreaterThan(4);
    expect(
      cluster.nodes.filter(({ log }) => log.includes('ends in an unfinished write')).length,
    ).toBeGreaterThan(0);
    await expectAll();
  });

  it('that also takes what a majority had synced keeps them down, and an operator goes on with the most complete log', async () => {
    const [whole, ...damaged] = cluster.nodes as [TestNode, TestNode, TestNode];
    await killBeforeFlush(cluster, damaged, loseLast);
    const ends = new Map<TestNode, readonly number[]>();
    for (const node of damaged) {
      await loseLast(node.dataDirectory);
      const run = node.start();
      expect((await run.ended()).code).toBe(1);
      const [, index, term] = /ends at index (\d+), with an entry of term (\d+)/.exec(run.errors) ?? [];
      ends.set(node, [Number(term), Number(index)]);
    }
    // As docs/operations.md says: a majority, with the members that start and the most complete of the others.
    const [chosen, other] = damaged.toSorted((one, two) => {
      const [[term = 0, index = 0] = [], [otherTerm = 0, otherIndex = 0] = []] = [
        ends.get(one),
        ends.get(two),
      ];
      return otherTerm - term || otherIndex - index;
    }) as [TestNode, TestNode];
    await rm(join(chosen.dataDirectory, 'LOG-END'));
    for (const node of [whole, chosen]) node.start();
    await cluster.leader();
    await cluster.removeMember(other.id);
    const fresh = await cluster.replacementOf(other);
    fresh.start(['--join', whole.url]);
    await cluster.voters('n1', 'n2', 'n3');
    await cluster.ready();
    // Here one log was whole, so nothing is lost.
    await expectAll();
  });

  const expectAll = async () => {
    const url = (await cluster.leader()).url;
    expect(acknowledged.size).toBeGreaterThan(80);
    for (const [key, value] of acknowledged)
      expect([key, await (await call(url, `/v1/kv/${key}`)).text()]).toEqual([key, value]);
    expect(new Set((await cluster.settled()).values()).size).toBe(1);
  };
});

describe('a node', () => {
  let cluster: Cluster;
  let node: TestNode;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(1);
    node = cluster.node('n1');
  });
  afterAll(() => cluster?.remove());

  it('that was told to stop says nothing of that at its next start', async () => {
    await cluster.put('one', '1');
    expect(await node.stop()).toEqual({ code: 0, signal: null });
    node.start();
    await cluster.ready();
    expect(node.log).not.toContain(NOT_IN_ORDER);
  });

  it.each(['SIGBUS', 'SIGABRT', 'SIGKILL'] as const)(
    'that was ended by %s says so at its next start',
    async (signal) => {
      const run = present(node.run, 'It runs.');
      run.signal(signal);
      await run.ended();
      const next = node.start();
      await cluster.ready();
      expect(next.output).toContain(NOT_IN_ORDER);
      expect(await (await call(node.url, '/v1/kv/one')).text()).toBe('1');
    },
  );

  it('that was aborted by damage says both: how it ended, and what is damaged', async () => {
    const run = present(node.run, 'It runs.');
    run.signal('SIGBUS');
    await run.ended();
    const { path, records } = await tailOf(node.dataDirectory);
    const bytes = await readFile(path);
    const { offset } = present(records[0], 'There is a record.');
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(offset + 40) ^ 0xff, offset + 40);
    await writeFile(path, changed);
    const next = node.start();
    expect((await next.ended()).code).toBe(1);
    expect(next.output).toContain(NOT_IN_ORDER);
    expect(next.errors).toContain(`The node's log is damaged: ${path}, at byte ${offset}`);
    await writeFile(path, bytes);
    node.start();
    await cluster.ready();
  });

  it('alone that lost the end of its log is not to be wiped, and goes on with what is left without LOG-END', async () => {
    await cluster.put('kept', 'before');
    const lose = (dataDirectory: string) => loseFrom(dataDirectory, 'gone');
    await killBeforeFlush(cluster, [node], lose, 'gone');
    await lose(node.dataDirectory);
    const run = node.start();
    expect((await run.ended()).code).toBe(1);
    expect(run.errors).toMatch(
      /The end of the node's log is lost\..* do not wipe its data directory\. Copy it, .* delete LOG-END/,
    );
    expect(run.errors).not.toContain('--join');
    await rm(join(node.dataDirectory, 'LOG-END'));
    node.start();
    await cluster.ready();
    expect(await (await call(node.url, '/v1/kv/kept')).text()).toBe('before');
    expect(await (await call(node.url, '/v1/kv/more')).text()).not.toBe('gone');
  });

  it('whose directory vanishes while it runs ends with a sentence', async () => {
    await rm(join(node.dataDirectory, 'log'), { recursive: true });
    const run = present(node.run, 'It runs.');
    // LevelDB begins another file once this one is full.
    for (let count = 0; run.exit === undefined && count < 40; count += 1)
      await put(node.url, `large-${count}`, Buffer.alloc(1_000_000, count));
    expect((await run.ended()).code).toBe(1);
    expect(run.errors).toMatch(/^raftkv: A file or directory of .*log has vanished\. Check the mount/m);
    expect(run.errors).not.toMatch(/^ +at /m);
  });
});

describe.skipIf(!SmallDisk.areAllowed)(
  'a node whose disk was mounted read-only (needs root, to mount a tmpfs)',
  () => {
    it('does not start, and says why and what to do', async () => {
      const path = await mkdtemp(join(tmpdir(), 'raftkv-disk-'));
      const disk = SmallDisk.mount(path, 512);
      try {
        const cluster = await Cluster.started(1, { directory: path });
        const node = cluster.node('n1');
        await cluster.put('one', '1');
        await node.stop();
        disk.remount('ro');
        const run = node.start();
        expect((await run.ended()).code).toBe(1);
        expect(run.errors).toMatch(
          /is on a file system that is mounted read-only.*Check the disk, and start/,
        );
        expect(run.errors).not.toMatch(/^ +at /m);
        disk.remount('rw');
        node.start();
        await cluster.ready();
        expect(await (await call(node.url, '/v1/kv/one')).text()).toBe('1');
        await cluster.remove();
      } finally {
        disk.unmount();
        await rm(path, { recursive: true });
      }
    });
  },
);

/** Zeros from the record that holds these words to the end of the newest write-ahead log. */
async function loseFrom(dataDirectory: string, words: string): Promise<void> {
  const { path, records } = await tailOf(dataDirectory);
  const { offset, writes } = present(
    records.find(({ content }) => content.includes(words)),
    'The write is in the log.',
  );
  const bytes = await readFile(path);
  await writeFile(path, bytes.fill(0, offset));
  expect((await LogEnd.in(dataDirectory)).known?.writes).toBeGreaterThanOrEqual(writes);
}

/** The newest write-ahead log ends just before the write that was noted last. */
async function loseLast(dataDirectory: string): Promise<void> {
  const { path, records } = await tailOf(dataDirectory);
  const noted = present((await LogEnd.in(dataDirectory)).known, 'The log was noted.').writes;
  const record = present(
    records.find(({ writes }) => writes >= noted),
    'What was noted is in the log.',
  );
  await truncate(path, record.offset);
}

/**
 * Kills all nodes after a write, before the states of these have gone to disk with it: a node whose state holds more than what `lose` leaves
 * of its log would not go on.
 */
async function killBeforeFlush(
  cluster: Cluster,
  nodes: readonly TestNode[],
  lose: (dataDirectory: string) => Promise<void>,
  value = 'more',
): Promise<void> {
  for (;;) {
    await cluster.put('more', 'kept');
    await cluster.put('more', value);
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    const outcomes = await Promise.all(nodes.map(({ dataDirectory }) => isWholeWithout(dataDirectory, lose)));
    if (outcomes.every((isWhole) => isWhole)) return;
    for (const node of cluster.nodes) node.start();
    await cluster.ready();
  }
}

async function isWholeWithout(
  dataDirectory: string,
  lose: (dataDirectory: string) => Promise<void>,
): Promise<boolean> {
  const path = await mkdtemp(join(tmpdir(), 'raftkv-tail-'));
  try {
    await copyOf(dataDirectory, path);
    await lose(path);
    await rm(join(path, 'LOG-END'));
    return (await checkDirectory(path, () => {})).whole;
  } finally {
    await rm(path, { recursive: true });
  }
}
