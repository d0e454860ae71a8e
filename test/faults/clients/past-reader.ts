import { setTimeout as sleep } from 'node:timers/promises';
import type { ItemJson } from '../../../src/client/item.js';
import type { ListResult } from '../../../src/kv/types.js';
import { textOf } from '../../../src/sim/bytes.js';
import { ShownStates } from '../../../src/sim/checkers/shown-states.js';
import type { Prng } from '../../../src/sim/prng.js';
import { call } from '../../e2e/client.js';
import type { Revisions } from '../../e2e/revisions.js';
import type { FaultCluster, FaultNode } from '../cluster.js';
import { type Asker, documentOf, type Question, type Reply } from './asker.js';
import { violationOf } from './judge.js';
import { RecordedLog, type RecordedStates } from './recorded-states.js';
import { itemOf } from './watcher.js';

const PAUSE_MS_MAX = 300;
const REVISIONS_BACK_MAX = 2000;
const KEYS = ['bank/account/0', 'once/1', 'once/2', 'guarded/counter', 'register/0/0'];
/** The share of reads that are of one key. */
const KEY_RATE = 0.4;
/** Under each of them there are never many keys, so that each is one page. */
const PREFIXES = ['bank/account/', 'once/', 'leased/', 'guarded/', 'register/0/', '.raftkv/locks/'];

/** A listing that a node gave, in one piece. */
export interface Listing extends ListResult {
  readonly node: string;
  readonly prefix: string;
}

/** What a node had under one key at a revision of the past. */
export interface Glance {
  readonly node: string;
  readonly key: string;
  readonly revision: number;
  /** Undefined where it had none. */
  readonly item: { readonly value: string; readonly modRevision: number } | undefined;
}

interface PageJson {
  readonly revision: number;
  readonly items: readonly ItemJson[];
  readonly nextCursor?: string | null;
}

/** Reads what some node has, now or at an earlier revision. */
export class PastReader {
  readonly listings: Listing[] = [];
  readonly glances: Glance[] = [];
  private isStopping = false;

  constructor(
    private readonly asker: Asker,
    private readonly random: Prng,
    private readonly revisions: Revisions,
  ) {}

  async run(): Promise<void> {
    while (!this.isStopping) {
      await (this.random.chance(KEY_RATE) ? this.readKey() : this.list());
      await sleep(this.random.between(0, PAUSE_MS_MAX));
    }
  }

  stop(): void {
    this.isStopping = true;
  }

  private revisionBack(): number {
    const { floor } = this.revisions;
    return Math.max(1, floor - this.random.integer(0, Math.min(REVISIONS_BACK_MAX, floor)));
  }

  private async readKey(): Promise<void> {
    const key = this.random.pick(KEYS) ?? '';
    const revision = this.revisionBack();
    const question: Question = {
      method: 'GET',
      path: `/v1/kv/${key}?consistency=stale&revision=${revision}&minRevision=${revision}`,
    };
    const reply = await this.asker.once(question);
    if (reply === undefined) return;
    if (reply.status !== 200 && reply.status !== 404)
      throw new Error(`${question.path} was answered with ${reply.status}: ${reply.text}`);
    const modRevision = Number(reply.headers.get('etag')?.replaceAll('"', ''));
    const item = reply.status === 404 ? undefined : { value: reply.text, modRevision };
    this.glances.push({ node: nodeOf(reply), key, revision, item });
  }

  private async list(): Promise<void> {
    const prefix = this.random.pick(PREFIXES) ?? '';
    const revision = this.revisionBack();
    // A node that is behind is waited for.
    const past = this.random.chance(0.7) ? `&revision=${revision}&minRevision=${revision}` : '';
    const question: Question = {
      method: 'GET',
      path: `/v1/kv?prefix=${encodeURIComponent(prefix)}&limit=1000&consistency=stale${past}`,
    };
    const reply = await this.asker.once(question);
    if (reply === undefined) return;
    const page = documentOf<PageJson>(question, reply, 200);
    this.listings.push({
      node: nodeOf(reply),
      prefix,
      revision: page.revision,
      items: page.items.map(itemOf),
      more: typeof page.nextCursor === 'string',
    });
  }
}

function nodeOf({ headers }: Reply): string {
  return headers.get('raftkv-node') ?? '';
}

/** Everything that one node has, at one revision. */
export async function listAll(node: FaultNode): Promise<Listing> {
  const items: ItemJson[] = [];
  let revision = 0;
  let cursor = '';
  do {
    const query = `prefix=&limit=1000&consistency=stale${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`;
    const response = await call(node.url, `/v1/kv?${query}`);
    if (response.status !== 200) throw new Error(`A listing of ${node.id}: ${await response.text()}`);
    const page = (await response.json()) as PageJson;
    items.push(...page.items);
    revision = page.revision;
    cursor = page.nextCursor ?? '';
  } while (cursor !== '');
  return { node: node.id, prefix: '', revision, items: items.map(itemOf), more: false };
}

export function listAllOf(cluster: FaultCluster): Promise<readonly Listing[]> {
  return Promise.all(cluster.nodes.map(listAll));
}

/** Listings that show what never was. */
export function judgeListings(listings: readonly Listing[], states: RecordedStates): readonly string[] {
  const shown = new ShownStates(new RecordedLog(states));
  return listings.flatMap(
    ({ node, prefix, ...result }) => violationOf(() => shown.page(node, Buffer.from(prefix), result)) ?? [],
  );
}

/** Keys that were shown with what they never had at that revision. */
export function judgeGlances(glances: readonly Glance[], states: RecordedStates): readonly string[] {
  return glances.flatMap(({ node, key, revision, item }) => {
    const expected = states.itemAt(key, revision);
    const isRight =
      expected?.modRevision === item?.modRevision &&
      (expected === undefined || textOf(expected.value) === item?.value);
    if (isRight) return [];
    return `${node} reads revision ${revision} and shows ${item?.modRevision ?? 'nothing'} of ${key}, which is of ${expected?.modRevision ?? 'none'}.`;
  });
}
