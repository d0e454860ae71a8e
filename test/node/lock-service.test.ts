import { describe, expect, it } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import type { LockRequest } from '../../src/http/port.js';
import { type Command, type Item, TTL_MS_MAX } from '../../src/kv/types.js';
import { LOCK_QUEUE_MAX } from '../../src/node/limits.js';
import { LockService } from '../../src/node/lock-service.js';
import { shuttingDown } from '../../src/node/waiting.js';

const item = (at: number): Item => ({
  key: Buffer.from(`.raftkv/locks/l\0${at}`),
  value: Buffer.from(`holder ${at}`),
  createRevision: at,
  modRevision: at,
  version: 1,
  contentType: '',
  lease: at,
});

/** A lock service whose line is as given, a page of two at a time, and what it wrote. */
function serviceWith(line: readonly Item[], putFails?: RaftkvError) {
  const written: Command[] = [];
  const service = new LockService({
    clock: { now: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} },
    newId: () => 'new',
    write: async (command) => {
      written.push(command);
      if (command.kind === 'put' && putFails !== undefined) throw putFails;
      return { kind: 'idempotencyMismatch', revision: 9 };
    },
    confirmRead: async () => {},
    waitForRevision: async () => {},
    get: () => undefined,
    whenApplied: async () => {},
    list: async ({ after, limit }) => {
      const from =
        after === undefined ? 0 : line.findIndex(({ key }) => Buffer.compare(key, after) === 0) + 1;
      const items = line.slice(from, from + Math.min(limit, 2));
      return { revision: 9, items, more: from + items.length < line.length };
    },
  });
  return { service, written };
}

const request = (more: Partial<LockRequest>): LockRequest => ({
  name: Buffer.from('l'),
  ttlMs: 1_000,
  waitMs: 0,
  value: '',
  signal: new AbortController().signal,
  stopping: new AbortController().signal,
  ...more,
});

const idempotency = { key: 'k', fingerprint: new Uint8Array(16) };
/** The place of a request with that key. */
const own: Item = { ...item(7), key: Buffer.from(`.raftkv/locks/l\0${Buffer.from('k').toString('hex')}`) };

describe.each([{}, { idempotency }])('a lock that is asked for with %j', (keyed) => {
  it('costs no write where another holds it, the oldest of the whole line', async () => {
    // In the order of the keys, the holder is on the last page.
    const { service, written } = serviceWith([item(5), item(6), item(8), item(3)]);
    const result = await service.acquire(request(keyed), 1_000);
    expect(result).toEqual({ kind: 'busy', holder: { token: 3, lease: 3, value: 'holder 3' } });
    expect(written).toEqual([]);
  });

  it('is refused where its line is full', async () => {
    const { service, written } = serviceWith(Array.from({ length: LOCK_QUEUE_MAX }, (_, at) => item(at + 1)));
    const asked = service.acquire(request({ ...keyed, waitMs: 1_000 }), 1_000);
    await expect(asked).rejects.toMatchObject({ code: 'overloaded' });
    expect(written).toEqual([]);
  });
});

it('a place that may have been taken is given up, unless a repeat may go on in it', async () => {
  const unknown = new RaftkvError('outcome_unknown', 'The client left meanwhile.');
  const { service, written } = serviceWith([item(3)], unknown);
  await expect(service.acquire(request({ waitMs: 1_000 }), 1_000)).rejects.toBe(unknown);
  const key = Buffer.from('.raftkv/locks/l\0new');
  expect(written).toMatchObject([
    { kind: 'put', key },
    { kind: 'delete', key },
  ]);

  const keyed = serviceWith([item(3)], unknown);
  await expect(keyed.service.acquire(request({ waitMs: 1_000, idempotency }), 1_000)).rejects.toBe(unknown);
  expect(keyed.written).toMatchObject([{ kind: 'put' }]);
});

it('a place for a lock that is held for the longest time there is lives no longer than that', async () => {
  const { service, written } = serviceWith([item(3)]);
  await service.acquire(request({ ttlMs: TTL_MS_MAX, waitMs: 1_000 }), 1_000);
  expect(written).toMatchObject([{ kind: 'put', ttlMs: TTL_MS_MAX }]);
});

it('a repeat goes on in the place in line that it has', async () => {
  const { service, written } = serviceWith([item(3), own]);
  await service.acquire(request({ idempotency }), 1_000);
  expect(written).toMatchObject([{ kind: 'put', key: own.key, idempotency }]);
});

describe('a place in line', () => {
  /** Somebody holds the lock for seven seconds while one waits for it; time passes only where it is waited for. */
  function waiting() {
    let timeMs = 0;
    let failure:
      | { readonly of: (command: Command | undefined) => boolean; readonly error: Error }
      | undefined;
    const failWhere = (command?: Command) => {
      if (failure?.of(command)) throw failure.error;
    };
    const written: Command[] = [];
    const line: Item[] = [item(3)];
    const service = new LockService({
      clock: { now: () => timeMs, after: () => ({ cancel: () => {} }), soon: () => {} },
      newId: () => '4',
      write: async (command) => {
        if (command.kind !== 'put') failWhere(command);
        written.push(command);
        if (command.kind === 'delete') return { kind: 'delete', revision: 5, deleted: 1 };
        if (command.kind === 'leaseKeepAlive') return { kind: 'lease', revision: 4, lease: 4, ttlMs: 1 };
        if (command.kind === 'put') line.push({ ...item(4), key: command.key });
        return { kind: 'put', revision: 4, created: true, lease: 4 };
      },
      confirmRead: async () => {},
      waitForRevision: async () => {},
      get: (key) => line.find((one) => Buffer.compare(one.key, key) === 0),
      whenApplied: async (_, timeoutMs) => {
        failWhere();
        timeMs += timeoutMs;
        if (timeMs > 7_000) line.shift();
      },
      list: async () => ({ revision: 4, items: line, more: false }),
    });
    const fails = (of: (command: Command | undefined) => boolean, error: Error) => {
      failure = { of, error };
    };
    return { service, written, fails };
  }

  it('is kept alive while it is waited in, so that it soon makes room when its node is gone', async () => {
    const { service, written } = waiting();
    const result = await service.acquire(request({ waitMs: 3_600_000 }), 1_000);
    expect(result).toEqual({ kind: 'held', token: 4, lease: 4 });
    expect(written).toMatchObject([
      { kind: 'put', ttlMs: 11_000 },
      { kind: 'leaseKeepAlive', lease: 4, ttlMs: 11_000 },
      { kind: 'leaseKeepAlive', lease: 4, ttlMs: 11_000 },
      // It holds the lock: from now on for as long as was asked for.
      { kind: 'leaseKeepAlive', lease: 4, ttlMs: 1_000 },
    ]);
  });

  it('is left on the condition that somebody is before it: a repeat elsewhere may hold the lock already', async () => {
    const written: Command[] = [];
    const behind = [item(3), item(4)];
    let revision = 4;
    const service = new LockService({
      clock: { now: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} },
      newId: () => '4',
      write: async (command) => {
        written.push(command);
        if (command.kind === 'put') return { kind: 'put', revision: 4, created: true, lease: 4 };
        if (command.kind === 'leaseKeepAlive') return { kind: 'lease', revision: 5, lease: 4, ttlMs: 1_000 };
        // The holder has gone at revision 5, which this node has not applied yet.
        return { kind: 'txn', revision: 5, succeeded: false, results: [] };
      },
      confirmRead: async () => {},
      waitForRevision: async (awaited) => {
        revision = awaited;
      },
      get: () => undefined,
      whenApplied: async () => {},
      list: async () => ({ revision, items: behind.slice(revision < 5 ? 0 : 1), more: false }),
    });
    const nobody = AbortSignal.abort();
    const result = await service.acquire(request({ waitMs: 2_000, signal: nobody }), 1_000);
    expect(result).toEqual({ kind: 'held', token: 4, lease: 4 });
    expect(written[1]).toEqual({
      kind: 'txn',
      compare: [
        { key: item(3).key, target: 'createRevision', op: '=', value: 3 },
        { key: item(4).key, target: 'createRevision', op: '=', value: 4 },
      ],
      success: [{ kind: 'delete', key: item(4).key }],
      failure: [],
    });
    // Nothing but that condition may take the place away.
    expect(written.filter(({ kind }) => kind === 'delete')).toEqual([]);
  });

  describe.each(['no_leader', 'overloaded', 'unavailable'] as const)(
    'when it was taken and %s comes then',
    (code) => {
      /** Waiting fails, and so does leaving where nobody can be asked. */
      function failing(canLeave: boolean) {
        const parts = waiting();
        parts.fails(
          (command) => command === undefined || command.kind !== 'delete' || !canLeave,
          new RaftkvError(code, 'It is so.'),
        );
        return parts;
      }

      it('is given up, so that it does not come to hold the lock for nobody', async () => {
        const { service, written } = failing(true);
        await expect(service.acquire(request({ waitMs: 9_000 }), 1_000)).rejects.toMatchObject({ code });
        expect(written.at(-1)).toMatchObject({ kind: 'delete', key: item(4).key, ifRevision: 4 });
      });

      it('is not denied where it cannot be given up, or a repeat would go on in it', async () => {
        const unknown = { code: 'outcome_unknown' };
        const asked = failing(false).service.acquire(request({ waitMs: 9_000 }), 1_000);
        await expect(asked).rejects.toMatchObject(unknown);
        const { service, written } = failing(true);
        const keyed = service.acquire(request({ waitMs: 9_000, idempotency }), 1_000);
        await expect(keyed).rejects.toMatchObject(unknown);
        expect(written.map(({ kind }) => kind)).toEqual(['put']);
      });
    },
  );

  it.each([{}, { idempotency }])(
    'does not hide a mistake of ours that comes then, asked with %j',
    async (keyed) => {
      const { service, fails } = waiting();
      fails((command) => command === undefined, new TypeError('It is no function.'));
      const asked = service.acquire(request({ ...keyed, waitMs: 9_000 }), 1_000);
      await expect(asked).rejects.toThrow(TypeError);
    },
  );

  it('is given up on a node that stops, which does not say that there is no time left to wait', async () => {
    const { service, written } = waiting();
    const stops = AbortSignal.abort(shuttingDown());
    const asked = service.acquire(request({ waitMs: 9_000, stopping: stops }), 1_000);
    await expect(asked).rejects.toMatchObject({ code: 'shutting_down' });
    expect(written.map(({ kind }) => kind)).toEqual(['put', 'delete']);
  });

  it('is kept by a node that stops where a repeat may go on in it', async () => {
    const { service, written } = waiting();
    const stops = AbortSignal.abort(shuttingDown());
    const asked = service.acquire(request({ waitMs: 9_000, idempotency, stopping: stops }), 1_000);
    await expect(asked).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(written.map(({ kind }) => kind)).toEqual(['put']);
  });

  it('lives no longer than it may be waited in', async () => {
    const { service, written } = waiting();
    await service.acquire(request({ waitMs: 2_000 }), 1_000);
    expect(written[0]).toMatchObject({ kind: 'put', ttlMs: 3_000 });
    expect(written.filter(({ kind }) => kind === 'leaseKeepAlive')).toEqual([]);
  });
});
