import { describe, expect, it } from 'vitest';
import type { CommandResult, WalkBounds } from '../../src/kv/types.js';
import { HEAVY_WALKS_WAITING_MAX, LIGHT_WALK_KEYS_MAX, LIGHT_WALKS_KEYS_MAX } from '../../src/node/limits.js';
import { outcomeUnknown } from '../../src/node/waiting.js';
import { type WalkingCommand, WalkingWrites } from '../../src/node/walking-writes.js';
import { FakeClock } from './fake-clock.js';
import { Outcome } from './node-kit.js';

const done: CommandResult = { kind: 'delete', revision: 9, deleted: 1 };

/** A leader in whose state each walk passes over the same number of keys, and whose log takes what the test lets it take. */
class WritesKit {
  readonly clock = new FakeClock();
  keys = 1;
  /** Undefined where measuring takes no time. */
  measuring: Promise<void> | undefined;
  readonly measured: WalkBounds[] = [];
  readonly proposed: { readonly timeoutMs: number; resolve(): void; reject(error: Error): void }[] = [];
  apply = () => {};
  readonly writes = new WalkingWrites({
    clock: this.clock,
    measure: async (_, bounds) => {
      this.measured.push(bounds);
      await this.measuring;
      return this.keys > bounds.existing ? undefined : this.keys;
    },
    revision: () => 7,
    whenApplied: () => new Promise<void>((resolve) => (this.apply = resolve)),
  });

  write({
    timeoutMs = 1_000,
    signal,
    prefixes = 1,
  }: {
    timeoutMs?: number;
    signal?: AbortSignal;
    prefixes?: number;
  } = {}): Outcome {
    const command: WalkingCommand = {
      kind: 'txn',
      compare: [],
      success: Array(prefixes).fill({ kind: 'getPrefix', prefix: Buffer.from('p') }),
      failure: [],
    };
    const propose = (leftMs: number) =>
      new Promise<CommandResult>((resolve, reject) => {
        this.proposed.push({ timeoutMs: leftMs, resolve: () => resolve(done), reject });
      });
    return new Outcome(this.writes.write(command, timeoutMs, signal, propose));
  }
}

const NEVER = new Promise<void>(() => {});

describe('a write that walks prefixes', () => {
  it('is not proposed once its time is up, and its client hears so then, however long the walk takes', async () => {
    const kit = new WritesKit();
    kit.measuring = NEVER;
    const write = kit.write({ timeoutMs: 200 });
    await kit.clock.pass(199);
    expect(write.value).toBe('waits');
    await kit.clock.pass(1);
    expect([write.value, kit.proposed]).toEqual(['unavailable', []]);
  });

  it('is not proposed where the walk ended late in a turn that was too long for its timer', async () => {
    const kit = new WritesKit();
    let end = () => {};
    kit.measuring = new Promise((resolve) => (end = resolve));
    const write = kit.write({ timeoutMs: 200 });
    await kit.clock.settle();
    kit.clock.stall(200);
    end();
    await kit.clock.settle();
    expect([write.value, kit.proposed]).toEqual(['unavailable', []]);
  });

  it('has what is left of its time when it is proposed', async () => {
    const kit = new WritesKit();
    let end = () => {};
    kit.measuring = new Promise((resolve) => (end = resolve));
    kit.write({ timeoutMs: 200 });
    await kit.clock.pass(50);
    end();
    await kit.clock.settle();
    expect(kit.proposed).toMatchObject([{ timeoutMs: 150 }]);
  });

  it('is not proposed for a client that has left', async () => {
    const kit = new WritesKit();
    kit.measuring = NEVER;
    const client = new AbortController();
    const write = kit.write({ signal: client.signal });
    client.abort();
    await kit.clock.settle();
    expect([write.value, kit.proposed]).toEqual(['unavailable', []]);
  });

  it('is refused where it passes over too many keys', async () => {
    const kit = new WritesKit();
    kit.keys = 20_001;
    const write = kit.write();
    await kit.clock.settle();
    expect([write.value, kit.proposed]).toEqual([{ kind: 'tooManyKeys', revision: 7 }, []]);
    // It left the line.
    kit.keys = 20_000;
    kit.write();
    await kit.clock.settle();
    expect(kit.proposed).toHaveLength(1);
  });
});

describe('writes that walk many keys', () => {
  const heavy = () => {
    const kit = new WritesKit();
    kit.keys = 10_000;
    return kit;
  };

  it('are in the log one at a time, for a tenth of the time together', async () => {
    const kit = heavy();
    const writes = [kit.write(), kit.write()];
    await kit.clock.pass(20);
    expect(kit.proposed).toHaveLength(1);
    kit.proposed[0]?.resolve();
    await kit.clock.pass(179);
    expect([writes[0]?.value, kit.proposed.length]).toEqual([done, 1]);
    await kit.clock.pass(1);
    expect(kit.proposed).toMatchObject([{}, { timeoutMs: 800 }]);
  });

  it('wait for no longer than two seconds after one that took very long', async () => {
    const kit = heavy();
    kit.write({ timeoutMs: 60_000 });
    kit.write({ timeoutMs: 60_000 });
    await kit.clock.pass(10_000);
    kit.proposed[0]?.resolve();
    await kit.clock.pass(1_999);
    expect(kit.proposed).toHaveLength(1);
    await kit.clock.pass(1);
    expect(kit.proposed).toHaveLength(2);
  });

  it('wait for one whose client has given up until it is applied', async () => {
    const kit = heavy();
    kit.write();
    kit.write();
    await kit.clock.settle();
    kit.proposed[0]?.reject(outcomeUnknown());
    await kit.clock.pass(10);
    expect(kit.proposed).toHaveLength(1);
    kit.apply();
    await kit.clock.pass(90);
    expect(kit.proposed).toHaveLength(2);
  });

  it('leave the line when their time is up, and those behind them move up', async () => {
    const kit = heavy();
    kit.write();
    const hasty = kit.write({ timeoutMs: 10 });
    kit.write();
    await kit.clock.pass(10);
    expect(hasty.value).toBe('unavailable');
    kit.proposed[0]?.resolve();
    await kit.clock.pass(90);
    expect(kit.proposed).toHaveLength(2);
  });

  it('are refused as overloaded where too many wait, before all of their keys are counted', async () => {
    const kit = heavy();
    const writes = Array.from({ length: HEAVY_WALKS_WAITING_MAX + 2 }, () => kit.write());
    await kit.clock.settle();
    expect(writes.map(({ value }) => value)).toEqual([
      ...Array(HEAVY_WALKS_WAITING_MAX + 1).fill('waits'),
      'overloaded',
    ]);
    const full = kit.measured.filter(({ existing }) => existing > LIGHT_WALK_KEYS_MAX);
    expect([full.length, kit.proposed.length]).toEqual([1, 1]);
  });

  it('are those with many prefixes as well, whose keys are counted once', async () => {
    const kit = new WritesKit();
    kit.write({ prefixes: 128 });
    kit.write({ prefixes: 128 });
    await kit.clock.settle();
    expect([kit.proposed.length, kit.measured.length]).toEqual([1, 1]);
  });

  it('do not hold up those that walk few', async () => {
    const kit = heavy();
    kit.write();
    kit.write();
    await kit.clock.settle();
    kit.keys = 10;
    kit.write();
    await kit.clock.settle();
    expect(kit.proposed).toHaveLength(2);
  });
});

it('writes that walk few keys are in the log together while all of their keys are few', async () => {
  const kit = new WritesKit();
  kit.keys = 500;
  for (let count = 0; count < 16; count += 1) kit.write();
  await kit.clock.settle();
  const together = kit.proposed.length;
  expect(together).toBe(Math.floor(LIGHT_WALKS_KEYS_MAX / 508));
  kit.proposed[0]?.resolve();
  await kit.clock.pass(0);
  expect(kit.proposed).toHaveLength(together + 1);
});
