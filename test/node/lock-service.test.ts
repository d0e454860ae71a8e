import { describe, expect, it } from 'vitest';
import type { LockRequest } from '../../src/http/port.js';
import type { Command, Item } from '../../src/kv/types.js';
import { LOCK_QUEUE_MAX } from '../../src/node/limits.js';
import { LockService } from '../../src/node/lock-service.js';

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
function serviceWith(line: readonly Item[]) {
  const written: Command[] = [];
  const service = new LockService({
    clock: { now: () => 0, after: () => ({ cancel: () => {} }), soon: () => {} },
    newId: () => 'new',
    write: async (command) => {
      written.push(command);
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

it('a repeat goes on in the place in line that it has', async () => {
  const { service, written } = serviceWith([item(3), own]);
  await service.acquire(request({ idempotency }), 1_000);
  expect(written).toMatchObject([{ kind: 'put', key: own.key, idempotency }]);
});
