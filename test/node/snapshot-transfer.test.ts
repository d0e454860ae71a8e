import { describe, expect, it } from 'vitest';
import { SnapshotTransfer } from '../../src/node/snapshot-transfer.js';
import type { Raft } from '../../src/raft/raft.js';
import type { Message } from '../../src/raft/types.js';
import { startNode, threeVoters } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger, FakeStateMachine, FakeTransport } from './fakes.js';

/** What the core is told, instead of a leader in the right state. */
function start() {
  const told: string[] = [];
  const raft: Raft = startNode({ term: 2 });
  raft.step = (message: Message) => {
    if (message.type === 'installSnapshotResponse')
      told.push(`${message.from} holds ${message.matchIndex}, term ${message.term}`);
    else told.push(message.type);
  };
  raft.snapshotFailed = (id) => told.push(`${id} failed`);
  const stateMachine = new FakeStateMachine(5);
  const transport = new FakeTransport();
  const clock = new FakeClock();
  const errors: unknown[] = [];
  const transfer: SnapshotTransfer = new SnapshotTransfer(
    { id: 'n1', incarnation: 'n1-1' },
    raft,
    stateMachine,
    transport,
    new FakeLogger(),
    {
      offer: (_staged, step) => {
        step();
        return isTaken.value;
      },
      wake: () => {},
      fatal: (error) => errors.push(error),
    },
  );
  const isTaken = { value: true };
  const send = async () => {
    transfer.send({ to: 'n3', term: 2 }, () => 'n3-1');
    await clock.settle();
  };
  return { told, stateMachine, transport, clock, errors, transfer, send, isTaken };
}

async function* chunks(...bytes: readonly number[]): AsyncIterable<Uint8Array> {
  for (const byte of bytes) yield Uint8Array.of(byte);
}

describe('a snapshot on its way out', () => {
  it('tells the core what the follower holds, and closes the view of the state', async () => {
    const { told, stateMachine, transport, clock, transfer, send } = start();
    await send();
    expect(transfer.neededIndex).toBe(5);
    transport.transfers[0]?.answer.resolve({ success: true, matchIndex: 5, term: 1 });
    await clock.settle();
    expect(told).toEqual(['n3 holds 5, term 2']);
    expect([stateMachine.snapshots[0]?.isClosed, transfer.neededIndex]).toEqual([true, undefined]);
  });

  it('that breaks is reported, so that the follower is looked at again (row 11)', async () => {
    const { told, transport, clock, stateMachine, send } = start();
    await send();
    transport.transfers[0]?.answer.reject(new Error('The stream broke.'));
    await clock.settle();
    expect([told, stateMachine.snapshots[0]?.isClosed]).toEqual([['n3 failed'], true]);
  });

  it('that was replaced by another does not report the other as failed, or each would end the next (row 11)', async () => {
    const { told, transport, clock, transfer, send } = start();
    await send();
    await send();
    expect(transport.transfers.map((one) => one.abort.aborted)).toEqual([true, false]);
    expect(told).toEqual([]);
    expect(transfer.neededIndex).toBe(5);
    transport.transfers[1]?.answer.resolve({ success: true, matchIndex: 5, term: 2 });
    await clock.settle();
    expect(told).toEqual(['n3 holds 5, term 2']);
  });

  it('is aborted when this node does not lead any more', async () => {
    const { transport, clock, transfer, send, errors } = start();
    await send();
    transfer.abortOutgoing();
    await clock.settle();
    expect([transport.transfers[0]?.abort.aborted, transfer.neededIndex, errors]).toEqual([
      true,
      undefined,
      [],
    ]);
  });
});

describe('a snapshot that arrives', () => {
  const header = (term: number, index = 9) => ({
    from: 'n2',
    fromIncarnation: 'n2-1',
    to: 'n1',
    term,
    snapshot: { index, term, configuration: threeVoters },
  });

  it('is answered when the core has it on disk, not before', async () => {
    const { told, transfer, clock } = start();
    const answers: unknown[] = [];
    transfer.receive(header(2), chunks(1, 2)).then((answer) => answers.push(answer));
    await clock.settle();
    expect([told, answers]).toEqual([['installSnapshot'], []]);
    transfer.answer({
      type: 'installSnapshotResponse',
      from: 'n1',
      fromIncarnation: 'n1-1',
      to: 'n2',
      term: 2,
      success: true,
      matchIndex: 9,
    });
    await clock.settle();
    expect(answers).toEqual([{ success: true, matchIndex: 9, term: 2 }]);
  });

  it('of a lower term is refused before anything is written (row 24)', async () => {
    const { told, transfer } = start();
    expect(await transfer.receive(header(1), chunks(1))).toEqual({ success: false, matchIndex: 0, term: 2 });
    expect(told).toEqual([]);
  });

  it('that the core does not want is discarded (row 24)', async () => {
    const { stateMachine, transfer, clock, isTaken } = start();
    isTaken.value = false;
    void transfer.receive(header(2), chunks(1));
    await clock.settle();
    expect(stateMachine.discarded).toMatchObject([{ directory: 'state-9' }]);
  });

  it('gives way to one of a newer leader, and an older one does not get in between (row 24)', async () => {
    const { told, transfer, clock } = start();
    let letGo: () => void = () => {};
    async function* slow(): AsyncIterable<Uint8Array> {
      yield Uint8Array.of(1);
      await new Promise<void>((resolve) => {
        letGo = resolve;
      });
      yield Uint8Array.of(2);
    }
    const failures: string[] = [];
    transfer.receive(header(3), slow()).catch((error: Error) => failures.push(error.message));
    await clock.settle();
    expect(await transfer.receive(header(2), chunks(1))).toMatchObject({ success: false });
    void transfer.receive(header(4), chunks(1));
    letGo();
    await clock.settle();
    expect(failures).toEqual(['Another snapshot took the place of this one.']);
    expect(told).toEqual(['installSnapshot']);
  });
});
