import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { occurrences } from '../../bench/watch-fan-out.mjs';
import { Cluster, showLogsOfFailures } from './cluster.js';

const WATCHES = 1_000;
const PUTS = 100;

/** A raw connection that counts the puts it is told of: a thousand parsers of streams would measure themselves. */
class Watch {
  puts = 0;
  private begun = 0;
  private waiting: { readonly isReached: () => boolean; readonly resolve: () => void } | undefined;
  private readonly socket: Socket;

  constructor(url: string) {
    const { hostname, port } = new URL(url);
    const beginnings = occurrences('event: progress');
    const puts = occurrences('event: put');
    this.socket = connect(Number(port), hostname);
    this.socket.write(`GET /v1/watch?prefix=fan-out/ HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`);
    this.socket.on('data', (chunk: Buffer) => {
      this.begun += beginnings(chunk);
      this.puts += puts(chunk);
      if (this.waiting?.isReached() !== true) return;
      const { resolve } = this.waiting;
      this.waiting = undefined;
      resolve();
    });
  }

  /** Resolves when the stream has begun, which it does by telling its progress. */
  begins(): Promise<void> {
    return this.until(() => this.begun > 0);
  }

  /** Resolves when the stream has told of this many puts. */
  reaches(count: number): Promise<void> {
    return this.until(() => this.puts >= count);
  }

  close(): void {
    this.socket.destroy();
  }

  private until(isReached: () => boolean): Promise<void> {
    if (isReached()) return Promise.resolve();
    return new Promise((resolve) => {
      this.waiting = { isReached, resolve };
    });
  }
}

describe(`a put with ${WATCHES} watches on its prefix`, () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    cluster = await Cluster.started(3);
  });
  afterAll(() => cluster?.remove());

  // How soon it does is measured by `npm run bench -- --operations watch-fan-out`.
  it('reaches all of them', async () => {
    const { url } = await cluster.leader();
    const watches = Array.from({ length: WATCHES }, () => new Watch(url));
    await Promise.all(watches.map((watch) => watch.begins()));
    for (let number = 0; number < PUTS; number += 1) {
      await cluster.put(`fan-out/${number % 10}`, 'v'.repeat(256));
      await Promise.all(watches.map((watch) => watch.reaches(number + 1)));
    }
    for (const watch of watches) watch.close();
    expect(Math.min(...watches.map(({ puts }) => puts))).toBeGreaterThanOrEqual(PUTS);
  });
});
