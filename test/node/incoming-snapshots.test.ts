import { describe, expect, it } from 'vitest';
import { IncomingSnapshots } from '../../src/node/incoming-snapshots.js';
import { Nonsense } from '../../src/node/nonsense.js';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import type { Raft } from '../../src/raft/raft.js';
import type { Message } from '../../src/raft/types.js';
import { message, startNode, threeVoters } from '../raft/core-kit.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger, FakeStateMachine } from './fakes.js';

/** What the core is told, instead of a follower in the right state. */
function start() {
  const told: string[] = [];
  const raft: Raft = startNode({ term: 2 });
  raft.step(message('heartbeat', { term: 2, round: 1, commitIndex: 1 }));
  raft.step = (message: Message) => {
    told.push(message.type);
    return null;
  };
  const stateMachine = new FakeStateMachine(5);
  const clock = new FakeClock();
  const isTaken = { value: true };
  const logger = new FakeLogger();
  const offers = {
    offerSnapshot: (_staged: unknown, step: () => void) => {
      step();
      return isTaken.value;
    },
  };
  const transfer = new IncomingSnapshots(raft, stateMachine, logger, offers, new Nonsense(clock, logger));
  return { told, stateMachine, clock, transfer, isTaken, logger };
}

async function* chunks(...bytes: readonly number[]): AsyncIterable<Uint8Array> {
  for (const byte of bytes) yield Uint8Array.of(byte);
}

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
    transfer.receive(header(2), chunks(1, 2), true).then((answer) => answers.push(answer));
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
    expect(await transfer.receive(header(1), chunks(1), true)).toEqual({
      success: false,
      matchIndex: 0,
      term: 2,
    });
    expect(told).toEqual([]);
  });

  it('that the core does not want is discarded (row 24)', async () => {
    const { stateMachine, transfer, clock, isTaken } = start();
    isTaken.value = false;
    void transfer.receive(header(2), chunks(1), true);
    await clock.settle();
    expect(stateMachine.discarded).toMatchObject([{ directory: 'state-9' }]);
  });

  it('that was overtaken is deleted, and if that fails the next start does it', async () => {
    const { stateMachine, transfer, clock, logger } = start();
    const staged = { metadata: header(2).snapshot, directory: 'state-9' };
    transfer.dropOvertaken(staged);
    expect(stateMachine.discarded).toEqual([staged]);
    stateMachine.discard = () => Promise.reject(new Error('The disk is broken.'));
    transfer.dropOvertaken(staged);
    await clock.settle();
    expect(logger.lines).toEqual(['state-9 was not deleted; the next start does it.']);
  });

  it.each([
    ['of a term that this node has not heard of', { term: 3 }],
    ['of another node than the leader', { from: 'n3' }],
    ['with an entry of a later term', { snapshot: { index: 9, term: 3, configuration: threeVoters } }],
    ['without voters', { snapshot: { index: 9, term: 2, configuration: emptyConfiguration } }],
  ])('%s is refused before anything is written', async (_, fields) => {
    const { told, transfer, logger } = start();
    const answer = await transfer.receive({ ...header(2), ...fields }, neverRead(), true);
    expect(answer).toEqual({ success: false, matchIndex: 0, term: 2 });
    expect([told, logger.lines.length]).toEqual([[], 1]);
  });

  it('of a stranger is refused before anything is written, unless this node knows nobody yet', async () => {
    const { told, transfer, logger } = start();
    for (let count = 0; count < 20; count += 1)
      expect(await transfer.receive(header(2), neverRead(), false)).toMatchObject({ success: false });
    expect(told).toEqual([]);
    // Strangers write no more lines than they write with messages that no member sends.
    expect(logger.lines).toEqual([expect.stringContaining('its sender is no member')]);
  });

  it('of what is committed here is answered by the core, and nothing is written (row 24)', async () => {
    const { told, transfer, clock } = start();
    void transfer.receive(header(2, 1), neverRead(), true);
    await clock.settle();
    expect(told).toEqual(['installSnapshot']);
  });

  it('gives way to the next one of the leader (row 24)', async () => {
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
    transfer.receive(header(2), slow(), true).catch((error: Error) => failures.push(error.message));
    await clock.settle();
    void transfer.receive(header(2), chunks(1), true);
    letGo();
    await clock.settle();
    expect(failures).toEqual(['Another snapshot took the place of this one.']);
    expect(told).toEqual(['installSnapshot']);
  });
});

// biome-ignore lint/correctness/useYield: whoever pulls from it has not looked at the header first.
async function* neverRead(): AsyncIterable<Uint8Array> {
  throw new Error('Nothing of it is to be read.');
}
