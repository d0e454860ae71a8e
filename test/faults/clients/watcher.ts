import { setTimeout as sleep } from 'node:timers/promises';
import { readEventStream, type StreamMessage } from '../../../src/client/event-stream.js';
import type { ItemJson } from '../../../src/client/item.js';
import type { Item, LeaseId, Revision, WatchEvent } from '../../../src/kv/types.js';
import { textOf } from '../../../src/sim/bytes.js';
import type { Prng } from '../../../src/sim/prng.js';

const ANSWER_MS_MAX = 2500;
/** Nodes send signs of life every 15 s. */
const SILENCE_MS_MAX = 20_000;
const RECONNECT_MS_MAX = 200;
/** A watcher that wanders stays for so long at most. */
const STAY_MS_MAX = 12_000;

/** What a watcher was told, in this order. */
export type Delivery =
  | {
      readonly kind: 'event';
      readonly event: WatchEvent;
      /** Of what the key was before. */
      readonly previousLease: LeaseId | undefined;
    }
  /** Everything up to there was sent. */
  | { readonly kind: 'progress'; readonly revision: Revision }
  /** What should follow is said not to be kept any more. */
  | { readonly kind: 'compacted' };

export interface WatcherOptions {
  readonly name: string;
  /** Of the keys that it asks for. */
  readonly prefix: string;
  /** Where it watches: one node, or several among which it wanders. */
  readonly urls: readonly string[];
  readonly random: Prng;
  readonly told: (delivery: Delivery) => void;
}

/** Watches keys from the first revision on, and goes on by `Last-Event-ID` after whatever came in between. */
export class Watcher {
  readonly deliveries: Delivery[] = [];
  connections = 0;
  private lastId: string | undefined;
  private isStopping = false;
  private isSettled = false;
  private current: AbortController | undefined;

  constructor(private readonly options: WatcherOptions) {}

  get name(): string {
    return this.options.name;
  }

  get prefix(): string {
    return this.options.prefix;
  }

  /** Up to where it has seen something. */
  get revision(): Revision {
    return Number(this.lastId?.split('-')[0] ?? 0);
  }

  /** It wanders no more. */
  settle(): void {
    this.isSettled = true;
  }

  stop(): void {
    this.isStopping = true;
    this.current?.abort();
  }

  async run(): Promise<void> {
    const { random, urls } = this.options;
    while (!this.isStopping) {
      await this.connect(random.pick(urls) ?? '');
      await sleep(random.between(0, RECONNECT_MS_MAX));
    }
  }

  /** One stream, to its end. */
  private async connect(url: string): Promise<void> {
    const controller = new AbortController();
    this.current = controller;
    const { lastId } = this;
    const start = lastId === undefined ? '&fromRevision=1' : '';
    const leaving = setTimeout(() => this.leave(controller), this.options.random.between(0, STAY_MS_MAX));
    let silence = setTimeout(() => controller.abort(), ANSWER_MS_MAX);
    try {
      const response = await fetch(`${url}/v1/watch?prefix=${this.prefix}&previous=true${start}`, {
        headers: lastId === undefined ? {} : { 'last-event-id': lastId },
        signal: controller.signal,
      });
      if (response.status !== 200 || response.body === null) {
        await this.refused(url, response);
        return;
      }
      this.connections += 1;
      clearTimeout(silence);
      silence = setTimeout(() => controller.abort(), SILENCE_MS_MAX);
      const heard = touching(response.body, silence);
      for await (const message of readEventStream(heard)) this.take(message);
    } catch (error) {
      const isOfConnection = error instanceof TypeError || error instanceof DOMException;
      if (!isOfConnection) throw error;
    } finally {
      clearTimeout(leaving);
      clearTimeout(silence);
      controller.abort();
    }
  }

  private leave(controller: AbortController): void {
    if (this.options.urls.length > 1 && !this.isSettled) controller.abort();
  }

  private async refused(url: string, response: Response): Promise<void> {
    const text = await response.text();
    if (response.status === 410) this.deliver({ kind: 'compacted' });
    else if (response.status !== 503) throw new Error(`A watch of ${url}: ${response.status} ${text}`);
  }

  private take({ event, data, id }: StreamMessage): void {
    if (event === 'error') {
      const { code } = JSON.parse(data) as { readonly code: string };
      if (code === 'compacted') this.deliver({ kind: 'compacted' });
      return;
    }
    this.lastId = id ?? this.lastId;
    if (event === 'progress')
      this.deliver({ kind: 'progress', ...(JSON.parse(data) as { revision: number }) });
    else this.deliver(changeOf(event, data, id ?? ''));
  }

  private deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.options.told(delivery);
  }
}

export function describeDelivery(delivery: Delivery): string {
  if (delivery.kind === 'compacted') return 'compacted';
  if (delivery.kind === 'progress') return `progress ${delivery.revision}`;
  const { revision, number, kind, key, item } = delivery.event;
  const value = item === undefined ? '' : ` = ${textOf(item.value)}`;
  return `${revision}-${number} ${kind} ${textOf(key)}${value}`;
}

interface EventJson extends ItemJson {
  readonly previous?: ItemJson;
}

function changeOf(event: string, data: string, id: string): Delivery {
  const { previous, ...item }: EventJson = JSON.parse(data);
  const [revision, number] = id.split('-').map(Number);
  if (revision === undefined || number === undefined || (event !== 'put' && event !== 'delete')) {
    throw new Error(`A watch was sent ${event} with the id ${id}: ${data}`);
  }
  return {
    kind: 'event',
    event: {
      revision,
      number,
      kind: event,
      key: bytesOf(item.key, item.keyBase64),
      item: event === 'put' ? itemOf(item) : undefined,
      previousRevision: previous?.modRevision ?? 0,
    },
    previousLease: previous?.lease === undefined ? undefined : Number(previous.lease),
  };
}

/** An item as the store has it, from how the HTTP API writes it. */
export function itemOf(json: ItemJson): Item {
  const { createRevision, modRevision, version, contentType = '', lease } = json;
  return {
    key: bytesOf(json.key, json.keyBase64),
    value: bytesOf(json.value, json.valueBase64),
    createRevision,
    modRevision,
    version,
    contentType,
    ...(lease === undefined ? {} : { lease: Number(lease) }),
  };
}

/** Small buffers share their memory, of which each array of its own would take much: every watcher keeps all that it was told. */
function bytesOf(text: string | undefined, base64: string | undefined): Uint8Array {
  return base64 === undefined ? Buffer.from(text ?? '') : Buffer.from(base64, 'base64');
}

/** The chunks of a stream, each of which shows that it lives. */
async function* touching(
  body: ReadableStream<Uint8Array>,
  silence: NodeJS.Timeout,
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  for (;;) {
    silence.refresh();
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
