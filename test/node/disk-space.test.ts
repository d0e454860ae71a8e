import { describe, expect, it } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { commandCodec } from '../../src/kv/codec.js';
import type { Command, CommandResult } from '../../src/kv/types.js';
import { ClientService, type StoreReader } from '../../src/node/client-service.js';
import { DiskWatch } from '../../src/node/disk-space.js';
import {
  DISK_FLUSH_BYTES,
  DISK_FULL_BYTES,
  DISK_HANDOVER_MS,
  DISK_LOW_BYTES,
  DISK_RECOVERY,
  DISK_RESERVE_BYTES,
  DISK_RESERVE_DELAY_MS,
  DISK_RESERVE_RETRY_MS,
  DISK_WATCH_MS,
  DISK_WATCH_NEAR_MS,
  FLUSH_DELAY_MS,
} from '../../src/node/limits.js';
import type { RaftNode } from '../../src/node/raft-node.js';
import { entryAt } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger } from './fakes.js';
import { NodeKit, Outcome } from './node-kit.js';

const total = 1000 * DISK_FULL_BYTES;
const logBytesMax = DISK_LOW_BYTES;
const low = DISK_RESERVE_BYTES + DISK_LOW_BYTES + logBytesMax;

it('the room on the disk is low and full at its bounds, and leaves them only with some to spare', async () => {
  const clock = new FakeClock();
  const spaces: string[] = [];
  let free = total;
  const watch = new DiskWatch({
    clock,
    logger: new FakeLogger(),
    logBytesMax,
    usage: async () => ({ free, total }),
    changed: (space) => spaces.push(space),
  });
  const at = async (bytes: number) => {
    free = bytes;
    await clock.pass(DISK_WATCH_MS);
    return watch.space;
  };
  watch.start();
  expect(await at(low)).toBe('ok');
  expect(await at(low - 1)).toBe('low');
  expect(await at(low * DISK_RECOVERY - 1)).toBe('low');
  expect(await at(DISK_FULL_BYTES - 1)).toBe('full');
  expect(await at(DISK_FULL_BYTES * DISK_RECOVERY - 1)).toBe('full');
  expect(await at(DISK_FULL_BYTES * DISK_RECOVERY)).toBe('low');
  expect(await at(low * DISK_RECOVERY)).toBe('ok');
  expect(spaces).toEqual(['low', 'full', 'low', 'ok']);
  watch.stop();
});

describe('a reserve', () => {
  /** A disk on which `others` takes room, and a reserve takes what it says. */
  const start = () => {
    const clock = new FakeClock();
    const disk = { others: 0, fails: false, attempts: 0 };
    const reserve = {
      bytes: 0,
      take: async (bytes: number) => {
        disk.attempts += 1;
        if (disk.fails) throw new Error('No space left on device');
        reserve.bytes = bytes;
      },
      giveUp: async () => {
        reserve.bytes = 0;
      },
    };
    const logger = new FakeLogger();
    const usage = async () => ({ free: total - disk.others - reserve.bytes, total });
    const watch = new DiskWatch({ clock, logger, logBytesMax, usage, reserve, changed: () => {} });
    watch.start();
    const pass = () => clock.pass(DISK_WATCH_MS);
    return { clock, disk, reserve, logger, watch, pass };
  };

  it('is taken some time after the start, given up where others take the rest, and taken again', async () => {
    const { clock, disk, reserve, watch, pass } = start();
    await pass();
    expect(reserve.bytes).toBe(0);
    await clock.pass(DISK_RESERVE_DELAY_MS);
    expect(reserve.bytes).toBe(DISK_RESERVE_BYTES);
    // What others leave counts together with it.
    disk.others = total - DISK_RESERVE_BYTES - DISK_FULL_BYTES;
    await pass();
    expect([watch.space, reserve.bytes]).toEqual(['low', DISK_RESERVE_BYTES]);
    disk.others = total - DISK_RESERVE_BYTES;
    await pass();
    expect([watch.space, reserve.bytes]).toEqual(['low', 0]);
    await pass();
    expect([watch.space, watch.free]).toEqual(['low', DISK_RESERVE_BYTES]);
    disk.others = total - low * DISK_RECOVERY + 1;
    await pass();
    expect([watch.space, reserve.bytes]).toEqual(['low', 0]);
    disk.others = total - low * DISK_RECOVERY;
    await pass();
    expect([watch.space, reserve.bytes]).toEqual(['ok', DISK_RESERVE_BYTES]);
    watch.stop();
  });

  it('that cannot be taken is reported once, and tried again once a minute', async () => {
    const { clock, disk, reserve, logger, watch } = start();
    disk.fails = true;
    await clock.pass(DISK_RESERVE_DELAY_MS);
    expect(disk.attempts).toBe(1);
    await clock.pass(DISK_RESERVE_RETRY_MS - DISK_WATCH_MS);
    expect(disk.attempts).toBe(1);
    await clock.pass(DISK_WATCH_MS);
    expect(disk.attempts).toBe(2);
    expect(logger.lines.filter((line) => line.includes('reserved'))).toHaveLength(1);
    disk.fails = false;
    await clock.pass(DISK_RESERVE_RETRY_MS);
    expect([disk.attempts, reserve.bytes]).toEqual([3, DISK_RESERVE_BYTES]);
    watch.stop();
  });
});

describe('a leader', () => {
  it('lacks room when the voters that have it are no majority, and no more when they are one again', async () => {
    const kit = new NodeKit();
    await kit.lead();
    const { raft } = kit.node;
    const answer = { term: raft.term, round: 1 };
    await kit.hear('heartbeatResponse', { ...answer, lowSpace: true }, 'n2');
    expect(raft.lacksRoom).toBe(false);
    await kit.hear('heartbeatResponse', { ...answer, lowSpace: true }, 'n3');
    expect(raft.lacksRoom).toBe(true);
    await kit.hear('heartbeatResponse', answer, 'n3');
    expect(raft.lacksRoom).toBe(false);
    raft.diskSpaceIs('low');
    expect([raft.lacksRoom, raft.roomierSuccessor]).toEqual([true, 'n3']);
  });
});

it('a new leader hands over to nobody for room of which it does not know', async () => {
  const kit = new NodeKit();
  await kit.lead();
  const { raft } = kit.node;
  raft.diskSpaceIs('low');
  expect(raft.roomierSuccessor).toBe(undefined);
  await kit.hear('heartbeatResponse', { term: raft.term, round: 1, lowSpace: true }, 'n2');
  expect(raft.roomierSuccessor).toBe(undefined);
  await kit.hear('heartbeatResponse', { term: raft.term, round: 1 }, 'n2');
  expect(raft.roomierSuccessor).toBe('n2');
});

describe('a leader that lacks room', () => {
  const key = Buffer.from('k');
  const put: Command = { kind: 'put', key, value: key, contentType: '' };
  const remove: Command = { kind: 'delete', key };
  const txn = (...success: (typeof put | typeof remove)[]): Command => ({
    kind: 'txn',
    compare: [],
    success: success as never,
    failure: [],
  });
  const cases: readonly [string, Command, boolean][] = [
    ['a put', put, true],
    ['a count', { kind: 'add', key, delta: 1, initial: 0 }, true],
    ['a grant', { kind: 'leaseGrant', ttlMs: 1000 }, true],
    ['a transaction that puts', txn(remove, put), true],
    ['a transaction that deletes', txn(remove), false],
    ['a deletion', remove, false],
    ['a deletion by prefix', { kind: 'deletePrefix', prefix: key }, false],
    ['a compaction', { kind: 'compact' }, false],
    ['the end of a lease', { kind: 'leaseRevoke', lease: 1 }, false],
    ['an expiry', { kind: 'leaseExpire', lease: 1, generation: 1 }, false],
    ['a renewal', { kind: 'leaseKeepAlive', lease: 1 }, false],
    ['log time', { kind: 'tick' }, false],
  ];

  it.each(cases)('%s', async (_name, command, isRefused) => {
    const kit = new NodeKit();
    await kit.lead();
    const service = new ClientService({
      node: kit.node as unknown as RaftNode<CommandResult>,
      store: Object.assign(kit.stateMachine, {
        logTimeMs: 0,
        measureWalks: async () => 0,
      }) as unknown as StoreReader,
      codec: commandCodec,
      transport: kit.transport,
      clock: kit.clock,
      identity: () => ({
        cluster: 'c',
        id: 'n1',
        incarnation: 'n1-1',
        peerAddress: '',
        clientUrl: '',
        versions: SPOKEN_VERSIONS,
      }),
      version: 'tested',
      logger: kit.logger,
      upgradeDelayMs: 0,
      requiresProof: false,
      warnings: () => [],
      founded: false,
      newId: () => '0',
      random: () => 0,
    });
    const { raft } = kit.node;
    const lastIndex = () => raft.lastIndex;
    const before = lastIndex();
    raft.diskSpaceIs('low');
    await kit.hear('heartbeatResponse', { term: raft.term, round: 1, lowSpace: true }, 'n2');
    const outcome = new Outcome(service.write(command, 1000));
    await kit.clock.settle();
    expect([outcome.value, lastIndex()]).toEqual(isRefused ? ['no_space', before] : ['waits', before + 1]);
    // The same comes from a follower.
    const forwarded = new Outcome(
      service.onForward({ operation: 'propose', payload: commandCodec.encode(command) }, 1000),
    );
    await kit.clock.settle();
    expect(forwarded.value).toBe(isRefused ? 'no_space' : 'waits');
    service.stop();
  });
});

it('a leader that has had little room for a while hands over to a voter that has more', async () => {
  const kit = new NodeKit({ diskUsage: async () => ({ free: DISK_RESERVE_BYTES + DISK_LOW_BYTES, total }) });
  await kit.lead();
  const { raft } = kit.node;
  const alive = async () => {
    await kit.hear('heartbeatResponse', { term: raft.term, round: 1, lowSpace: true }, 'n2');
    await kit.hear('heartbeatResponse', { term: raft.term, round: 1 }, 'n3');
  };
  for (let passed = 0; passed < DISK_HANDOVER_MS - 1000; passed += 100) {
    await alive();
    await kit.clock.pass(100);
  }
  expect([raft.role, raft.status().transferTo]).toEqual(['leader', null]);
  for (let passed = 0; passed < 2000 && raft.status().transferTo === null; passed += 100) {
    await alive();
    await kit.clock.pass(100);
  }
  expect(raft.status().transferTo).toBe('n3');
});

describe('a follower', () => {
  it('says that it has little room, and takes no entries when it has none, until there is some again', async () => {
    const kit = new NodeKit();
    await kit.follow(2, 1, 1, [entryAt(2, 2)], 1);
    kit.node.raft.diskSpaceIs('full');
    await kit.follow(2, 2, 2, [entryAt(3, 2)], 2);
    expect([kit.node.raft.lastIndex, kit.node.raft.commitIndex]).toEqual([2, 2]);
    kit.transport.takeNames();
    await kit.hear('heartbeat', { term: 2, round: 1, commitIndex: 2 });
    expect(kit.transport.sent.at(-1)).toMatchObject({ type: 'heartbeatResponse', lowSpace: true });
    kit.node.raft.diskSpaceIs('ok');
    await kit.follow(2, 2, 2, [entryAt(3, 2)], 2);
    expect(kit.node.raft.lastIndex).toBe(3);
  });

  it('flushes at the hard floor, which shortens the log, as long as the flush itself finds room', async () => {
    let free = 2 * DISK_FULL_BYTES;
    const kit = new NodeKit({ diskUsage: async () => ({ free, total }) });
    const { stateMachine } = kit;
    await kit.follow(2, 1, 1, [entryAt(2, 2)], 2);
    free = DISK_FULL_BYTES - 1;
    stateMachine.bufferedBytes = (free - DISK_FLUSH_BYTES) / 2 + 1;
    await kit.clock.pass(DISK_WATCH_NEAR_MS);
    await kit.follow(2, 2, 2, [entryAt(3, 2)], 3);
    expect(kit.node.raft.lastIndex).toBe(2);
    await kit.clock.pass(2 * FLUSH_DELAY_MS);
    expect([stateMachine.appliedIndex, stateMachine.flushedIndex]).toEqual([2, 1]);
    stateMachine.bufferedBytes -= 1;
    await kit.clock.pass(FLUSH_DELAY_MS);
    expect(stateMachine.flushedIndex).toBe(2);
  });
});
