import type { ServerResponse } from 'node:http';
import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { RaftkvError, StorageDamaged } from '../../src/errors.js';
import { ByteBudget } from '../../src/http/byte-budget.js';
import { serverSentEvents } from '../../src/http/watch-events.js';
import { WatchStreams } from '../../src/http/watch-stream.js';
import type { WatchEvent, Watcher } from '../../src/kv/types.js';

const VALUE_BYTES = 100_000;

/** A stream that gives one event, to a client that takes it when it is told to. */
function open(holdsPast: boolean) {
  const budget = new ByteBudget(32 * 1024 * 1024);
  const key = Buffer.from('k');
  const item = {
    key,
    value: Buffer.alloc(VALUE_BYTES, 'v'),
    createRevision: 1,
    modRevision: 1,
    version: 1,
    contentType: 'text/plain',
  };
  const event: WatchEvent = { revision: 1, number: 0, kind: 'put', key, item, previousRevision: 0 };
  const events = [[event]];
  const seen: { whenTaken: number | undefined } = { whenTaken: undefined };
  const watcher: Watcher = {
    read: async () => events.shift() ?? new Promise(() => {}),
    taken: () => {
      seen.whenTaken ??= budget.heldBytes;
    },
    holdsPast,
    previousOf: () => undefined,
    settledThrough: undefined,
    close: () => {},
  };
  let takeAll = () => {};
  const takes = new Promise<void>((resolve) => {
    takeAll = resolve;
  });
  const response = new Writable({
    highWaterMark: 1_000,
    write: (_chunk, _encoding, done) => void takes.then(() => done()),
  });
  const after = { revision: 0, number: Number.POSITIVE_INFINITY };
  new WatchStreams(budget, () => {}).open(
    response as unknown as ServerResponse,
    watcher,
    { format: serverSentEvents, withPrevious: false, after },
    new AbortController().signal,
  );
  return { budget, seen, takeAll, response };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

it('what a watch has read from the past counts as held from the start, until the client has taken it', async () => {
  const { budget, seen, takeAll, response } = open(true);
  await until(() => seen.whenTaken !== undefined);
  expect(seen.whenTaken).toBeGreaterThan(VALUE_BYTES);
  expect(budget.heldBytes).toBe(seen.whenTaken);
  takeAll();
  await until(() => budget.heldBytes === 0);
  response.destroy();
});

it('what all watches share counts for a client only once it is slow to take it', async () => {
  const { budget, seen, takeAll, response } = open(false);
  await until(() => seen.whenTaken !== undefined);
  expect(seen.whenTaken).toBe(0);
  await until(() => budget.heldBytes > VALUE_BYTES);
  takeAll();
  await until(() => budget.heldBytes === 0);
  response.destroy();
});

it.each([
  ['of the disk of this node', new StorageDamaged('state', 'A change is damaged.'), 1],
  ['that another node speaks of', new RaftkvError('storage_damaged', 'Over there.'), 0],
])('damage %s ends a stream with that error, and is passed on where it is ours', async (_, error, told) => {
  const damages: StorageDamaged[] = [];
  const watcher: Watcher = {
    read: () => Promise.reject(error),
    taken: () => {},
    holdsPast: false,
    previousOf: () => undefined,
    settledThrough: undefined,
    close: () => {},
  };
  const chunks: string[] = [];
  const response = new Writable({
    write: (chunk, _encoding, done) => {
      chunks.push(String(chunk));
      done();
    },
  });
  new WatchStreams(new ByteBudget(), (damage) => damages.push(damage)).open(
    response as unknown as ServerResponse,
    watcher,
    {
      format: serverSentEvents,
      withPrevious: false,
      after: { revision: 0, number: Number.POSITIVE_INFINITY },
    },
    new AbortController().signal,
  );
  await until(() => response.writableFinished);
  expect(chunks.join('')).toContain('"code":"storage_damaged"');
  expect(damages).toHaveLength(told);
});
