import { Agent, request as httpRequest } from 'node:http';
import { Readable } from 'node:stream';
import type { FetchInit, FetchResponse } from '../client/index.js';
import { after } from '../clock.js';

/** A node that cannot be connected to within this time is passed over. */
const connectTimeoutMs = 1_000;

/** What its idle connections are kept in; they do not keep the process. */
const agent = new Agent({ keepAlive: true });

/**
 * The fetch of the command line, on `node:http`. The platform's own would fold a key such as `..` out of the path, waits ten
 * seconds for a connection, and takes longer to load than most commands run.
 */
export function nodeFetch(url: string, init: FetchInit): Promise<FetchResponse> {
  const { method, headers, body, signal } = init;
  const { origin, hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? 80 : port,
      method,
      path: url.slice(origin.length),
      headers: {
        ...headers,
        ...(body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }),
      },
      agent,
      signal,
    });
    const timer = after(connectTimeoutMs, () => outgoing.destroy(new NoConnectionError()));
    outgoing.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => timer.cancel());
      else timer.cancel();
    });
    outgoing.on('error', (error) => {
      timer.cancel();
      reject(error);
    });
    outgoing.on('response', (incoming) => {
      resolve({
        status: incoming.statusCode ?? 0,
        headers: { get: (name) => headerText(incoming.headers[name.toLowerCase()]) },
        body: Readable.toWeb(incoming),
      });
    });
    outgoing.end(body);
  });
}

/** Has the code by which the client library knows that nothing was sent. */
class NoConnectionError extends Error {
  override readonly name = 'NoConnectionError';
  readonly code = 'UND_ERR_CONNECT_TIMEOUT';
}

function headerText(value: string | readonly string[] | undefined): string | null {
  return value === undefined ? null : [value].flat().join(', ');
}
