import { describe, expect, it } from 'vitest';
import { RaftkvError, StorageDamaged } from '../../src/errors.js';
import { SNAPSHOT_STALL_MS } from '../../src/node/limits.js';
import { StateSource } from '../../src/node/state-source.js';
import { startNode } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger, FakeStateMachine, FakeTransport } from './fakes.js';

function start({ readIndex = async () => 21 }: { readonly readIndex?: () => Promise<number> } = {}) {
  const clock = new FakeClock();
  const transport = new FakeTransport();
  const stateMachine = new FakeStateMachine(20);
  const damages: StorageDamaged[] = [];
  const source = new StateSource({
    id: 'n1',
    incarnation: 'n1-1',
    raft: startNode({ term: 2, log: Array(40).fill(1) }),
    stateMachine,
    transport,
    clock,
    logger: new FakeLogger(),
    readIndex,
    damaged: (error) => damages.push(error),
  });
  const ask = (changes: object = {}) =>
    source.send({ id: 'n3', incarnation: 'n3-1', fromIndex: 5, ...changes }, 1000);
  return { clock, transport, stateMachine, damages, source, ask };
}

describe('a leader that is asked for its state', () => {
  it('tells what is committed once it is certain that it leads, and sends a snapshot', async () => {
    const { transport, ask } = start();
    expect(await ask()).toBe(21);
    expect(transport.transfers.map(({ header }) => header)).toMatchObject([
      { from: 'n1', fromIncarnation: 'n1-1', to: 'n3', term: 2, snapshot: { index: 20 } },
    ]);
  });

  it('sends nothing while it does not know that it leads', async () => {
    const { transport, ask } = start({
      readIndex: () => Promise.reject(new RaftkvError('no_leader', 'No.')),
    });
    await expect(ask()).rejects.toMatchObject({ code: 'no_leader' });
    expect(transport.transfers).toEqual([]);
  });

  it('sends nothing to another incarnation, nor a state that ends before the log of the member begins', async () => {
    const { transport, stateMachine, ask } = start();
    await expect(ask({ incarnation: 'n3-2' })).rejects.toMatchObject({ code: 'member_not_found' });
    await expect(ask({ fromIndex: 21 })).rejects.toMatchObject({ code: 'unavailable' });
    expect(transport.transfers).toEqual([]);
    expect(stateMachine.snapshots.map(({ isClosed }) => isClosed)).toEqual([true]);
  });

  it('breaks off what it sends to a member that asks again, and everything when it stops', async () => {
    const { transport, source, ask } = start();
    await ask();
    await ask();
    expect(transport.transfers.map(({ abort }) => abort.aborted)).toEqual([true, false]);
    source.stop();
    expect(transport.transfers.map(({ abort }) => abort.aborted)).toEqual([true, true]);
  });

  it('tells of damage that shows while it reads its state, and of none that the receiver has', async () => {
    const { clock, transport, stateMachine, damages, ask } = start();
    await ask();
    transport.transfers[0]?.answer.reject(new RaftkvError('storage_damaged', 'Over there.'));
    await clock.settle();
    expect(damages).toEqual([]);
    await ask();
    const { chunks } = transport.transfers[1] ?? {};
    stateMachine.snapshots.at(-1)?.failWith(new StorageDamaged('state', 'Here.'));
    await expect(
      (async () => {
        for await (const _ of chunks ?? []);
      })(),
    ).rejects.toMatchObject({ code: 'storage_damaged' });
    expect(damages.map(({ what }) => what)).toEqual(['Here.']);
  });

  it('gives up when the member takes nothing', async () => {
    const { clock, transport, ask } = start();
    await ask();
    const { chunks, abort } = transport.transfers[0] ?? {};
    await chunks?.[Symbol.asyncIterator]().next();
    await clock.pass(SNAPSHOT_STALL_MS);
    expect(abort?.aborted).toBe(true);
  });
});
