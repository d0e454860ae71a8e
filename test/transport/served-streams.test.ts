import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { ServedStreams } from '../../src/transport/served-streams.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const call = { end: () => {}, write: () => true } as unknown as ServerDuplexStream<Buffer, Buffer>;
const routeOf = (from: string, fromIncarnation = `${from}-1`) => ({ from, fromIncarnation, to: 'a' });

describe('the streams that peers opened', () => {
  test('are answered by the incarnation that asked last, as long as its stream is open', () => {
    const streams = new ServedStreams();
    const earlier = streams.add(routeOf('b', 'earlier'), call);
    const later = streams.add(routeOf('b', 'later'), call);
    expect(streams.answering('b')).toBe(earlier);
    streams.asked(later);
    expect(streams.answering('b')).toBe(later);
    streams.remove(earlier);
    expect(streams.answering('b')).toBe(later);
    streams.remove(later);
    expect(streams.answering('b')).toBe(undefined);
    const next = streams.add(routeOf('b', 'earlier'), call);
    expect(streams.answering('b')).toBe(next);
  });

  test('leave nothing behind, whatever names strangers give themselves', () => {
    const streams = new ServedStreams();
    const open = (number: number) => {
      const stream = streams.add(routeOf(`${number}`.padEnd(63, 'x')), call);
      streams.asked(stream);
      streams.remove(stream);
    };
    open(0);
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    for (let number = 1; number <= 50_000; number += 1) open(number);
    collectGarbage();
    // One name and one key take more than 100 bytes.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50_000 * 20);
  });
});
