import { ServerResponse, STATUS_CODES } from 'node:http';

/** A buffer up to this size is sent together with the headers. */
const joinedBytesMax = 4_096;

/** Statuses whose answers have no content, of which Node's own method takes note. */
const hasNoContent: ReadonlySet<number> = new Set([204, 304]);

interface HeaderStore {
  /** Takes what stands before the headers, and the headers; adds those that Node adds to every answer. */
  readonly _storeHeader?: (firstLine: string, headers: readonly string[]) => void;
}

/**
 * Sets the status and the headers of an answer that has content or may have.
 *
 * Node checks the name and the value of each header by regular expressions, which is the dearest part of a small answer in
 * JavaScript. Our own headers are on every answer and are made of numbers and names that were checked before, so they are handed
 * over as text. They go the long way where Node does not offer that any more, and where a response is not Node's own.
 *
 * @param ownLines Header lines, each with a line break; of nothing that a client sent.
 * @param headers Names and values in turn, which Node checks.
 */
export function writeHead(
  response: ServerResponse,
  status: number,
  ownLines: string,
  headers: readonly string[],
): void {
  const { _storeHeader: storeHeader } = response as HeaderStore;
  const isNodes = response.writeHead === ServerResponse.prototype.writeHead;
  if (!isNodes || storeHeader === undefined || hasNoContent.has(status)) {
    response.writeHead(status, [...pairsOf(ownLines), ...headers]);
    return;
  }
  response.statusCode = status;
  const firstLine = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n${ownLines}`;
  storeHeader.call(response, firstLine, headers);
}

function pairsOf(lines: string): string[] {
  return lines
    .split('\r\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)];
    });
}

/**
 * Sends the content of an answer whose headers are set, and ends the answer, with as few and as plain writes as Node can make of
 * it. These writes are the largest part of what a small request costs.
 *
 * - Node joins headers and a text, and writes headers and a buffer as two pieces. For a small value that is dearer than making
 *   a text of it: one character of latin1 is one byte.
 * - `end(body)` adds an empty piece behind the content, so that even a text becomes a gathering write. `end()` adds none where
 *   everything has left already.
 *
 * @param isAscii Whether a text is of ASCII alone, which is written faster.
 */
export function endWith(response: ServerResponse, body: Buffer | string, isAscii: boolean): void {
  const { socket } = response;
  // An answer that waits for its turn behind others on its connection has no socket yet.
  if (socket === null) {
    response.end(body);
    return;
  }
  // Otherwise Node corks the socket itself, until the next tick.
  socket.cork();
  if (typeof body === 'string') response.write(body, isAscii ? 'latin1' : 'utf8');
  else if (body.length <= joinedBytesMax) response.write(body.toString('latin1'), 'latin1');
  else response.write(body);
  socket.uncork();
  response.end();
}
