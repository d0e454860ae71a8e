import { describe, expect, it } from 'vitest';
import { requireClusterVersion } from '../../src/cluster-version.js';
import { encodeCommand } from '../../src/kv/command-codec.js';
import type { KvStateMachine } from '../../src/kv/state-machine.js';
import { type Command, HOLD_KEY } from '../../src/kv/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { deletion, follower, open, perform, reopen } from './kit.js';
import { put } from './model.js';

const raise = (version: number) => ({ kind: 'raiseVersion', version }) as const;

function refuseProposal(
  kv: KvStateMachine,
  payload: Uint8Array,
  raisingTo: number | null,
  takes: (kind: Command['kind']) => boolean = () => true,
) {
  return kv.refuseProposal(payload, raisingTo, takes);
}

describe('the cluster version in the state', () => {
  it('is 1 at first, is raised by a command and never goes back', async () => {
    const kv = await open(new MemoryDisk());
    expect(kv.clusterVersion).toBe(1);
    expect(await perform(kv, raise(1))).toEqual({ kind: 'versionRaised', revision: 0, clusterVersion: 1 });
    expect(await perform(kv, raise(2))).toEqual({ kind: 'versionRaised', revision: 0, clusterVersion: 2 });
    expect(await perform(kv, raise(1))).toEqual({ kind: 'versionRaised', revision: 0, clusterVersion: 2 });
    expect(kv.clusterVersion).toBe(2);
  });

  it('lets the digest begin anew when it is raised to 2, so that states of any origin can be compared', async () => {
    const idempotency = { key: 'k', fingerprint: new Uint8Array(16) };
    const states = await Promise.all(
      ['1', '2'].map(async (value) => {
        const kv = await open(new MemoryDisk());
        await perform(kv, { ...put('a', value), idempotency: { ...idempotency, key: value } });
        expect(kv.comparableDigest).toBeNull();
        await kv.flush();
        await perform(kv, put('b', value), raise(2));
        return kv;
      }),
    );
    const digests = () => states.map((kv) => kv.comparableDigest);
    expect(digests()).toEqual([0, 0]);
    for (const kv of states) await perform(kv, { ...put('c', '3'), idempotency });
    expect(digests()[0]).toBe(digests()[1]);
    expect(digests()[0]).not.toBe(0);
    await perform(states[0] as (typeof states)[0], put('c', '4'), raise(2));
    await perform(states[1] as (typeof states)[0], put('c', '5'), raise(2));
    expect(digests()[0]).not.toBe(digests()[1]);
  });

  it('stays as it is while it is held, unless an operator raises it all the same', async () => {
    const kv = await open(new MemoryDisk());
    await perform(kv, put(HOLD_KEY, ''));
    const unlessHeld = { ...raise(2), unlessHeld: true };
    expect(await perform(kv, unlessHeld)).toEqual({ kind: 'versionRaised', revision: 1, clusterVersion: 1 });
    await perform(kv, raise(2));
    expect(kv.clusterVersion).toBe(2);
    const other = await open(new MemoryDisk());
    await perform(other, put(HOLD_KEY, ''), deletion(HOLD_KEY), unlessHeld);
    expect(other.clusterVersion).toBe(2);
  });

  it('survives a restart and travels in snapshots', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await perform(kv, put('a', '1'), raise(2));
    expect((await follower(new MemoryDisk(), kv)).clusterVersion).toBe(2);
    expect((await reopen(disk, kv)).clusterVersion).toBe(2);
  });

  it('comes back to 1 when the raise did not reach the disk, and then takes it from the log again', async () => {
    const disk = new MemoryDisk();
    const kv = await open(disk);
    await perform(kv, put('a', '1'));
    await kv.flush();
    await perform(kv, raise(2));
    const again = await reopen(disk, kv);
    expect([again.appliedIndex, again.clusterVersion]).toEqual([1, 1]);
    await perform(again, raise(2));
    expect(again.clusterVersion).toBe(2);
  });
});

describe('a proposed command', () => {
  const bounded = { kind: 'txn', compare: [], success: [], failure: [], isBounded: true } as const;
  const key = Buffer.from('a');
  const count = { kind: 'add', key, delta: 1, initial: 0 } as const;
  const passing = { kind: 'put', key, value: key, contentType: '', ttlMs: 1000 } as const;

  it.each<Command>([
    bounded,
    { ...bounded, isBounded: false, success: [count] },
    { ...bounded, isBounded: false, failure: [{ kind: 'get', key }, passing] },
  ])('is refused where a member may run a program that cannot read it, %#', async (command) => {
    const kv = await open(new MemoryDisk());
    expect(refuseProposal(kv, encodeCommand(put('a', '1')), null)).toBeNull();
    // A put that is alone takes a time to live in every version.
    expect(refuseProposal(kv, encodeCommand(passing), null)).toBeNull();
    expect(refuseProposal(kv, encodeCommand(command), null)).toMatchObject({
      code: 'cluster_not_upgraded',
      message: expect.stringContaining('This txn needs cluster version 2'),
    });
    await perform(kv, raise(2));
    expect(refuseProposal(kv, encodeCommand(command), null)).toBeNull();
  });

  it('raises the cluster version only as far as every member was asked', async () => {
    const kv = await open(new MemoryDisk());
    expect(refuseProposal(kv, encodeCommand(raise(2)), null)).toMatchObject({ code: 'cluster_not_upgraded' });
    expect(refuseProposal(kv, encodeCommand(raise(2)), 2)).toBeNull();
    await perform(kv, raise(2));
    expect(refuseProposal(kv, encodeCommand(raise(2)), null)).toBeNull();
  });

  it('is refused where the proposing side may not send its kind, whatever else it is', async () => {
    const kv = await open(new MemoryDisk());
    const takes = (kind: Command['kind']) => kind === 'put';
    expect(refuseProposal(kv, encodeCommand(put('a', '1')), null, takes)).toBeNull();
    for (const command of [
      { kind: 'tick' },
      { kind: 'leaseExpire', lease: 1, generation: 1 },
      raise(2),
    ] as const) {
      expect(refuseProposal(kv, encodeCommand(command), 2, takes)).toMatchObject({
        code: 'bad_request',
        message: `Only a leader proposes a ${command.kind}. Nothing was changed.`,
      });
    }
  });

  it('is refused where it is no command at all', async () => {
    const kv = await open(new MemoryDisk());
    expect(refuseProposal(kv, Buffer.from('ffffff', 'hex'), 2)).toMatchObject({ code: 'bad_request' });
  });
});

describe('what needs a cluster version', () => {
  it('is refused below it, with both versions in the answer', () => {
    expect(() => requireClusterVersion(2, 2, 'It')).not.toThrow();
    expect(() => requireClusterVersion(1, 2, 'Adding to a counter')).toThrow(
      expect.objectContaining({
        code: 'cluster_not_upgraded',
        message: expect.stringMatching(/^Adding to a counter needs cluster version 2, .* at version 1\./),
        data: { clusterVersion: 1, neededVersion: 2 },
      }),
    );
  });
});
