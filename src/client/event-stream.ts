import { RaftkvClientError } from './errors.js';

/** One message of a stream of Server-Sent Events. */
export interface StreamMessage {
  readonly id: string | undefined;
  /** `message` where the stream gives none. */
  readonly event: string;
  readonly data: string;
}

/** The largest message: two values of 16 MiB, each byte of which may take six characters in JSON. */
const messageCharactersMax = 256 * 1024 * 1024;

/**
 * Reads a stream of Server-Sent Events. Only whole messages are given out: what a broken connection cut short never shows.
 *
 * @throws RaftkvClientError `not_raftkv` where a message is larger than any of this server can be.
 */
export async function* readEventStream(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<StreamMessage, void, void> {
  let id: string | undefined;
  let event = '';
  let data: string[] = [];
  for await (const line of readLines(chunks)) {
    if (line !== '') {
      const { name, value } = fieldOf(line);
      if (name === 'id') id = value;
      else if (name === 'event') event = value;
      else if (name === 'data') data.push(value);
      continue;
    }
    // A blank line ends a message; one without data is none.
    if (data.length > 0) yield { id, event: event === '' ? 'message' : event, data: data.join('\n') };
    id = undefined;
    event = '';
    data = [];
  }
}

/** A line that begins with a colon is a comment, and becomes a field without a name. */
function fieldOf(line: string): { readonly name: string; readonly value: string } {
  const colon = line.indexOf(':');
  if (colon < 0) return { name: line, value: '' };
  const value = line.slice(colon + 1);
  return { name: line.slice(0, colon), value: value.startsWith(' ') ? value.slice(1) : value };
}

async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  /** The beginning of a line that has not ended yet, in pieces, so that a long one is not copied with every chunk. */
  let pieces: string[] = [];
  let characters = 0;
  for await (const chunk of chunks) {
    const lines = decoder.decode(chunk, { stream: true }).split('\n');
    const rest = lines.pop() ?? '';
    for (const line of lines) {
      pieces.push(line);
      yield pieces.join('').replace(/\r$/, '');
      pieces = [];
      characters = 0;
    }
    if (rest === '') continue;
    pieces.push(rest);
    characters += rest.length;
    if (characters > messageCharactersMax) {
      throw new RaftkvClientError(
        'not_raftkv',
        'The stream holds a line without an end. Check the endpoints.',
      );
    }
  }
}
