import { Buffer, isUtf8 } from 'node:buffer';
import type { Item, ListResult } from '../kv/types.js';
import { asBuffer, bytesMember } from './bytes.js';
import { encodeCursor } from './cursor.js';

/** A page ends after the item with which its JSON reaches this size: a byte of a value can take six in JSON. */
const pageJsonBytesMax = 2 * 1024 * 1024;
/** What is encoded in one slice: a millisecond's work at most. A multiple of 3, so that base64 can be cut there. */
const sliceLength = 3 * 16_384;

/**
 * One page of a listing as JSON. It is made in slices, because a leader that is busy with one page for longer than its
 * followers' patience loses its office.
 *
 * @param turn Resolves when the next slice may be made.
 */
export async function pageJson(
  result: ListResult,
  prefix: Uint8Array,
  keysOnly: boolean,
  turn: () => Promise<void>,
): Promise<Buffer> {
  const { revision, items } = result;
  const json = new JsonSlices(turn);
  await json.add(`{"revision":${revision},"items":[`);
  let last: Item | undefined;
  let more = result.more;
  for (const item of items) {
    if (last !== undefined) await json.add(',');
    for (const slice of itemSlices(item, keysOnly)) await json.add(slice);
    last = item;
    if (json.length >= pageJsonBytesMax) {
      more ||= item !== items.at(-1);
      break;
    }
  }
  const next = more && last !== undefined ? encodeCursor(revision, prefix, last.key) : undefined;
  await json.add(next === undefined ? ']}' : `],"nextCursor":"${next}"}`);
  return json.end();
}

/** A large document that is put together in many short slices. */
export class JsonSlices {
  private readonly turn: () => Promise<void>;
  private readonly done: Buffer[] = [];
  private doneBytes = 0;
  private text = '';

  /** @param turn Resolves when the next slice may be made; rejects where nobody wants the document any more. */
  constructor(turn: () => Promise<void>) {
    this.turn = turn;
  }

  /** Of what was added, about: what is not encoded yet counts by its characters. */
  get length(): number {
    return this.doneBytes + this.text.length;
  }

  async add(text: string): Promise<void> {
    this.text += text;
    if (this.text.length < sliceLength) return;
    this.encode();
    await this.turn();
  }

  end(): Buffer {
    this.encode();
    return Buffer.concat(this.done);
  }

  private encode(): void {
    const bytes = Buffer.from(this.text, 'utf8');
    this.done.push(bytes);
    this.doneBytes += bytes.length;
    this.text = '';
  }
}

/** An item as a JSON object, in parts where it is long. */
export function* itemSlices(item: Item, keysOnly: boolean): Generator<string> {
  yield `{${bytesMember('key', item.key)}`;
  if (!keysOnly) {
    yield ',';
    yield* valueSlices(asBuffer(item.value));
  }
  const lease = item.lease === undefined ? '' : `,"lease":"${item.lease}"`;
  const contentType = item.contentType === '' ? '' : `,"contentType":${JSON.stringify(item.contentType)}`;
  yield `,"createRevision":${item.createRevision},"modRevision":${item.modRevision},"version":${item.version}${lease}${contentType}}`;
}

/** What `bytesMember` gives, in parts where it is long. */
function* valueSlices(value: Buffer): Generator<string> {
  if (value.length <= sliceLength) {
    yield bytesMember('value', value);
    return;
  }
  if (!isUtf8(value)) {
    yield '"valueBase64":"';
    for (let at = 0; at < value.length; at += sliceLength)
      yield value.toString('base64', at, at + sliceLength);
    yield '"';
    return;
  }
  const text = value.toString('utf8');
  yield '"value":"';
  for (let at = 0; at < text.length; ) {
    let end = at + sliceLength;
    // A character of two code units stays whole.
    if (isHighSurrogate(text.charCodeAt(end - 1))) end -= 1;
    yield JSON.stringify(text.slice(at, end)).slice(1, -1);
    at = end;
  }
  yield '"';
}

function isHighSurrogate(codeUnit: number): boolean {
  return codeUnit >= 0xd800 && codeUnit <= 0xdbff;
}
