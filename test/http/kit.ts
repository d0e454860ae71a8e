import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { type AppDependencies, buildApp } from '../../src/http/app.js';
import { createLogger } from '../../src/logger.js';
import { TurnShare } from '../../src/turn-share.js';
import { FakeNode } from './fake-node.js';

export interface Served {
  readonly app: FastifyInstance;
  readonly node: FakeNode;
}

/** The app on a node in memory, not listening. */
export function serve(options: Partial<AppDependencies> = {}): Served {
  const node = new FakeNode();
  const app = buildApp({
    port: node,
    clientRouting: 'redirect',
    valueBytesMax: 1_000,
    allowedHosts: [],
    corsOrigins: [],
    logger: createLogger('n1', 'silent', { write: () => {} }),
    counts: {
      logLinesDropped: () => 0,
      diskBytes: async () => ({ log: 1, state: 2 }),
      peerRefusals: () => new Map([['no_proof', 3]]),
      storage: () => ({ checkedBytes: 4096, isDamaged: false, repairs: 0 }),
    },
    readShare: new TurnShare(0),
    connectionsMax: 10_000,
    ...options,
  });
  return { app, node };
}

export async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 });
  return (app.server.address() as AddressInfo).port;
}

/** A connection on which tests write bytes as they like and read what comes. */
export class RawConnection {
  received = '';
  ended = false;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port });
    this.socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
    });
    this.socket.on('close', () => {
      this.ended = true;
    });
    this.socket.on('error', () => {});
  }

  send(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  /** Resolves when what was received matches; what is missing shows in the test's timeout. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.received)) {
      if (this.ended) throw new Error(`The connection ended after ${JSON.stringify(this.received)}.`);
      const heard = new AbortController();
      const { signal } = heard;
      await Promise.race([once(this.socket, 'data', { signal }), once(this.socket, 'close', { signal })]);
      heard.abort();
    }
    return this.received;
  }

  async untilEnd(): Promise<string> {
    if (!this.ended) await once(this.socket, 'close');
    return this.received;
  }
}
