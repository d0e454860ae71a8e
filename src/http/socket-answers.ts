import { Buffer } from 'node:buffer';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { after } from '../clock.js';
import { type ErrorCode, errorCatalogue } from '../errors.js';
import { problemBody, problemContentType } from './problem.js';

/** Room for a prefix and a cursor of 4096 bytes each, percent-encoded, and for ordinary headers. */
export const headerBytesMax = 65_536;

/** Connections on which something arrived that is no request; what follows it is not looked at. */
const refused = new WeakSet<Socket>();

/**
 * Answers what is not HTTP, or too large or too slow to be a request, where no request could be made of it. Requests that came
 * before on the same connection get their answers first.
 */
export function refuseOnSocket(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  // The connection ends already, and cutting it short because more of the same arrives could lose its last answer.
  if (!socket.writable || refused.has(socket)) return;
  refused.add(socket);
  afterAnswers(socket, () => refuseNow(error, socket));
}

/** Calls `next` once every whole request on this connection is answered, unless the connection ends with one of the answers. */
export function afterAnswers(socket: Duplex, next: () => void): void {
  const { _httpMessage: response, parser } = socket as ServedSocket;
  if (!socket.writable) return;
  if (response?.req.complete) {
    response.once('close', () => afterAnswers(socket, next));
    return;
  }
  // No change begins before its request is whole, so a refusal is true. A request that was answered early gets no second answer.
  const isAnswered = response ? response.headersSent : parser?.incoming?.complete === false;
  if (isAnswered) end(socket, '');
  else next();
}

/** What Node keeps at a socket, and its own handlers look at. */
interface ServedSocket extends Duplex {
  /** The answer whose turn it is. */
  readonly _httpMessage?: ServerResponse | null;
  /** Has the request that is being read, whether it is answered or not. */
  readonly parser?: { readonly incoming?: IncomingMessage | null } | null;
}

function refuseNow(error: Error & { readonly code?: string }, socket: Socket): void {
  const [status, code, detail] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ([408, 'request_timeout', 'The request did not arrive in time. Send it again, faster.'] as const)
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ([
            431,
            'bad_request',
            `The request line and the headers are larger than ${headerBytesMax} bytes. Shorten them.`,
          ] as const)
        : ([
            400,
            'bad_request',
            'What arrived is not a well-formed HTTP/1.1 request. Check the client.',
          ] as const);
  endWithProblem(socket, status, code, detail);
}

/** Answers with a problem document where there is no response of Node's to write it with, after which the connection ends. */
export function endWithProblem(socket: Duplex, status: number, code: ErrorCode, detail: string): void {
  // Of all that there is, nothing takes CONNECT.
  const headers = status === 405 ? ['Allow:'] : [];
  const body = problemBody(status, code, errorCatalogue[code].title, detail);
  endWith(socket, status, problemContentType, body, headers);
}

/** The same with any content. */
export function endWith(
  socket: Duplex,
  status: number,
  contentType: string,
  body: string,
  headers: readonly string[],
): void {
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${contentType}`,
    ...headers,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  end(socket, `${head.join('\r\n')}\r\n\r\n${body}`);
}

/** Ends the connection once what was written has left, and `last` behind it. */
function end(socket: Duplex, last: string): void {
  // A client that is gone is no error of ours; without a listener it would end the process.
  socket.on('error', () => socket.destroy());
  socket.end(last);
  // A client that neither reads nor hangs up must not hold the socket.
  after(1_000, () => socket.destroy());
}
