import { describe, expect, it } from 'vitest';
import { DiskWatch } from '../../src/node/disk-space.js';
import { DISK_FULL_BYTES, DISK_HANDOVER_MS, DISK_RECOVERY, DISK_WATCH_MS } from '../../src/node/limits.js';
import { entryAt } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger } from './fakes.js';
import { NodeKit } from './node-kit.js';

const total = 100 * DISK_FULL_BYTES;
const logBytesMax = DISK_FULL_BYTES;
const low = 3 * DISK_FULL_BYTES;

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

it('a leader that has had little room for a while hands over to a voter that has more', async () => {
  const kit = new NodeKit({ diskUsage: async () => ({ free: 2 * DISK_FULL_BYTES, total }) });
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
});
