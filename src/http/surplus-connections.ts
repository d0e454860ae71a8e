import { createServer, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { after } from '../clock.js';
import { errorCatalogue } from '../errors.js';
import type { Origins } from './origins.js';
import { problemBody } from './problem.js';
import { endWith, endWithProblem, headerBytesMax } from './socket-answers.js';
import { splitTarget } from './target.js';
import { acceptsEventStream, refusedStream, serverSentEvents } from './watch-events.js';

/** How long the head of the first request may take. Few connections are refused at a time, and others wait for their places. */
const headMs = 500;

/**
 * Makes what refuses connections past the bound. The head of the first request is read to find out in which form its client
 * understands the refusal, and nothing that is asked there is done. A client that sends no head is refused all the same.
 */
export function surplusRefuser(connectionsMax: number, origins: Origins): (socket: Socket) => void {
  const detail =
    `${connectionsMax} clients are connected to this node, which its limit of file descriptors allows. Ask ` +
    'another node, or raise the limit (ulimit -n).';
  const refuse = (socket: Duplex): void => {
    if (socket.writable) endWithProblem(socket, 503, 'overloaded', detail);
  };
  const refuseRequest = (request: IncomingMessage): void => {
    const { socket } = request;
    // What follows the head must not wait in the kernel: closing would reset the connection, and the refusal be lost.
    request.resume();
    if (!socket.writable || !isEventSource(request)) {
      refuse(socket);
      return;
    }
    const problem = problemBody(503, 'overloaded', errorCatalogue.overloaded.title, detail);
    const origin = origins.checkOrigin(request);
    const headers = origin === undefined ? [] : [`Access-Control-Allow-Origin: ${origin}`];
    endWith(socket, 200, serverSentEvents.contentType, refusedStream(problem), headers);
  };

  // It never listens: connections are handed to it.
  const server = createServer({ maxHeaderSize: headerBytesMax, requireHostHeader: false }, refuseRequest);
  server.on('checkContinue', refuseRequest);
  server.on('checkExpectation', refuseRequest);
  server.on('connect', (_, socket) => refuse(socket));
  server.on('clientError', (_, socket) => refuse(socket));
  return (socket) => {
    const late = after(headMs, () => refuse(socket));
    socket.once('close', () => late.cancel());
    server.emit('connection', socket);
  };
}

function isEventSource(request: IncomingMessage): boolean {
  const { path } = splitTarget(request.url ?? '/');
  return request.method === 'GET' && path === '/v1/watch' && acceptsEventStream(request.headers);
}
