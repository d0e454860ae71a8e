/** Forged requests of somebody who does not have the cluster's secret, over HTTP/2 connections that prove nothing. */
import { connect } from 'node:http2';
import { service } from '../../../src/transport/wire.js';
import type { Forged } from './messages.js';

const CONNECTION_MS_MAX = 1000;

/**
 * Writes these requests on one new connection. Resolves with the number of answers when the node has ended the connection,
 * or after a second.
 */
export function sendAsStranger(url: string, requests: readonly Forged[]): Promise<number> {
  return new Promise((resolve) => {
    let answered = 0;
    const session = connect(url);
    const timer = setTimeout(() => session.destroy(), CONNECTION_MS_MAX);
    session.on('error', () => {});
    session.on('close', () => {
      clearTimeout(timer);
      resolve(answered);
    });
    for (const { method, bytes, introduction } of requests) {
      const stream = session.request({
        ':method': 'POST',
        ':path': service[method].path,
        'content-type': 'application/grpc+proto',
        te: 'trailers',
        'raftkv-introduction-bin': introduction.toString('base64'),
      });
      stream.on('response', () => {
        answered += 1;
      });
      stream.on('error', () => {});
      stream.resume();
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(bytes.length, 1);
      stream.end(Buffer.concat([prefix, bytes]));
    }
  });
}
