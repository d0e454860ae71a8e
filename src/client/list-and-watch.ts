import type { Caller } from './caller.js';
import type { OptionNames } from './check-options.js';
import { RaftkvClientError } from './errors.js';
import type { Item } from './item.js';
import { type PageJson, pageOf, readCall } from './key-values.js';
import { Pauses, sleep } from './timing.js';
import { type WatchEvent, watch } from './watch.js';
import type { Bytes } from './wire.js';

export interface ListAndWatchOptions {
  /** Every key that starts with it; all keys unless given. */
  readonly prefix?: Bytes | undefined;
  /** Gives the item before each change as well. */
  readonly previous?: boolean | undefined;
  /** Ends it with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export const listAndWatchOptionNames: OptionNames<ListAndWatchOptions> = {
  prefix: true,
  previous: true,
  signal: true,
};

/** All keys at one revision. It takes the place of everything that came before. */
export interface ListEvent {
  readonly type: 'list';
  readonly revision: number;
  readonly items: readonly Item[];
}

export type ListAndWatchEvent = ListEvent | WatchEvent;

/** As many as a page has at most. */
const itemsPerPage = 1_000;

/**
 * A listing, then every change after it. Where the changes that come next are not kept any more, it begins again with a new
 * listing.
 */
export async function* listAndWatch(
  caller: Caller,
  options: ListAndWatchOptions,
): AsyncGenerator<ListAndWatchEvent, void, void> {
  const { prefix = '', previous, signal } = options;
  const pauses = new Pauses();
  for (;;) {
    try {
      const list = await listAll(caller, prefix, signal);
      yield list;
      pauses.reset();
      yield* watch(caller, { prefix, fromRevision: list.revision + 1, previous, signal });
    } catch (error) {
      if (!(error instanceof RaftkvClientError) || error.code !== 'compacted') throw error;
    }
    // A listing that takes longer than its revision is kept would be begun again at once, for ever.
    await sleep(pauses.take(), signal);
  }
}

async function listAll(caller: Caller, prefix: Bytes, signal: AbortSignal | undefined): Promise<ListEvent> {
  const items: Item[] = [];
  let cursor: string | undefined;
  for (;;) {
    const json: PageJson = await caller.callJson({
      ...readCall({ signal }),
      path: '/v1/kv',
      query: { prefix, limit: itemsPerPage, cursor },
    });
    const page = pageOf(json);
    items.push(...page.items);
    cursor = page.nextCursor;
    if (cursor === undefined) return { type: 'list', revision: page.revision, items };
  }
}
