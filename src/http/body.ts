import { Buffer } from 'node:buffer';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { after, type Timer } from '../clock.js';
import { RaftkvError } from '../errors.js';
import { COUNTED_BYTES_MIN } from './byte-budget.js';

/** Whether the request announces content. */
export function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return (length !== undefined && length !== '0') || request.headers['transfer-encoding'] !== undefined;
}

/**
 * Collects the request's content, of at most `bytesMax` bytes within `timeoutMs`; more is not read. Calls `done` once with
 * the content or the error, and not at all when the client goes away first: then there is nobody to answer and nothing
 * was done.
 *
 * @param atEndOfTurn Calls back when everything that has arrived was looked at. Most bodies arrive with their head, and a timer
 * takes longer than all else that is done with them.
 * @param hold Is told how large the content has become, where that is worth counting, and throws when it is too much.
 */
export function readBody(
  request: IncomingMessage,
  bytesMax: number,
  timeoutMs: number,
  atEndOfTurn: (task: () => void) => void,
  hold: (bytes: number) => void,
  done: (error: RaftkvError | undefined, body: Buffer) => void,
): void {
  const announced = request.headers['content-length'];
  if (announced !== undefined && Number(announced) > bytesMax) {
    done(tooLarge(bytesMax), empty);
    return;
  }
  let first: Buffer | undefined;
  let rest: Buffer[] | undefined;
  let length = 0;
  let isDone = false;
  let timer: Timer | undefined;
  atEndOfTurn(() => {
    if (!isDone) timer = after(timeoutMs, () => giveUp(tooSlow(timeoutMs)));
  });

  function giveUp(error: RaftkvError): void {
    isDone = true;
    timer?.cancel();
    request.off('data', onData);
    request.off('end', onEnd);
    request.pause();
    done(error, empty);
  }

  function onData(chunk: Buffer): void {
    length += chunk.length;
    if (length > bytesMax) {
      giveUp(tooLarge(bytesMax));
      return;
    }
    if (length > COUNTED_BYTES_MIN && !isHeld(length)) return;
    if (first === undefined) {
      first = chunk;
    } else {
      rest ??= [first];
      rest.push(chunk);
    }
  }

  function isHeld(bytes: number): boolean {
    try {
      hold(bytes);
      return true;
    } catch (error) {
      if (!(error instanceof RaftkvError)) throw error;
      giveUp(error);
      return false;
    }
  }

  function onEnd(): void {
    isDone = true;
    timer?.cancel();
    done(undefined, rest === undefined ? (first ?? empty) : Buffer.concat(rest, length));
  }

  request.on('data', onData);
  request.on('end', onEnd);
  // A lost connection is not an error of ours; without a listener it would end the process.
  request.on('error', () => {
    isDone = true;
    timer?.cancel();
  });
}

const empty = Buffer.alloc(0);

/**
 * What refuses content in another transfer coding than `chunked`. Node takes apart chunks and nothing else: compressed bytes would
 * be stored as the value.
 */
export function refusalOfCoding(headers: IncomingHttpHeaders): RaftkvError | undefined {
  const coding = headers['transfer-encoding'];
  if (coding === undefined || coding.toLowerCase() === 'chunked') return undefined;
  return new RaftkvError(
    'transfer_coding_unsupported',
    'The only Transfer-Encoding that is supported is chunked, alone. Nothing was changed; send the body without another coding.',
  );
}

function tooSlow(timeoutMs: number): RaftkvError {
  return new RaftkvError(
    'request_timeout',
    `The body did not arrive within ${timeoutMs} ms, which is what "timeout" leaves for it. Nothing was changed; send it ` +
      'faster, or with a longer timeout.',
  );
}

function tooLarge(bytesMax: number): RaftkvError {
  return new RaftkvError(
    'value_too_large',
    `The body is larger than ${bytesMax} bytes, which is the most that is accepted here. Store less, or in parts.`,
    { bytesMax },
  );
}

/** The body as JSON; an empty one counts as `{}`, so that requests whose members are all optional need none. */
export function parseJson(body: Buffer): unknown {
  if (body.length === 0) return {};
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RaftkvError('bad_request', `The body is not JSON in UTF-8: ${reason}.`);
  }
  // Only an escape can be half of a character; few bodies have one.
  if (escapedSurrogate.test(text)) checkTexts(value);
  return value;
}

const escapedSurrogate = /\\ud[89a-f]/i;

/**
 * Throws `bad_request` where a name or a text holds half of a pair of surrogates. It stands for no bytes: U+FFFD would be stored in
 * its place, and other keys would become the same. The value may be nested more deeply than functions can call themselves.
 */
function checkTexts(value: unknown): void {
  const left = [value];
  while (left.length > 0) {
    const next = left.pop();
    if (typeof next === 'string') checkText(next);
    else if (Array.isArray(next)) for (const element of next) left.push(element);
    else if (typeof next === 'object' && next !== null)
      for (const [name, member] of Object.entries(next)) left.push(name, member);
  }
}

function checkText(text: string): void {
  if (!/\p{Surrogate}/u.test(text)) return;
  throw new RaftkvError(
    'bad_request',
    `The body holds ${JSON.stringify(text.slice(0, 40))}, in which half of a surrogate pair stands for no bytes. Escape both halves, ` +
      'or give bytes that are not text in base64.',
  );
}
