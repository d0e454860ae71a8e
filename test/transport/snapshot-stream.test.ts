import type { ServerReadableStream } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { configurationOfVoters, encodeConfiguration } from '../../src/raft/configuration.js';
import { SNAPSHOT_CHUNK_TIMEOUT_MS, SNAPSHOT_HEADER_TIMEOUT_MS } from '../../src/transport/limits.js';
import { noPeerAuth } from '../../src/transport/peer-auth.js';
import { receiveSnapshot } from '../../src/transport/snapshot-stream.js';
import { type WireSnapshotChunk, wire } from '../../src/transport/wire.js';

const route = { from: 'b', fromIncarnation: 'b-1', to: 'a' };

/** A call that brings these messages and then says nothing more. */
function call(...chunks: readonly WireSnapshotChunk[]): ServerReadableStream<Buffer, Buffer> {
  async function* messages() {
    for (const chunk of chunks) yield wire.snapshotChunk.encode(chunk);
    await new Promise(() => {});
  }
  return { iterator: messages } as unknown as ServerReadableStream<Buffer, Buffer>;
}

function local(clusterVersion: number) {
  return {
    identity: () => ({
      cluster: 'cluster-1',
      id: 'a',
      incarnation: 'a-1',
      peerAddress: '',
      clientUrl: '',
      versions: SPOKEN_VERSIONS,
    }),
    clusterVersion: () => clusterVersion,
    auth: noPeerAuth,
    knows: () => true,
  };
}

function headerOf(cluster: string): WireSnapshotChunk {
  const members = [{ id: 'b', incarnation: 'b-1', peerAddress: '127.0.0.1:1', clientUrl: '' }];
  const configuration = encodeConfiguration(configurationOfVoters(members));
  return {
    header: { term: 1, index: 1, indexTerm: 1, configuration, cluster },
    data: new Uint8Array(),
    end: false,
  };
}

const chunk: WireSnapshotChunk = { header: null, data: Uint8Array.of(1), end: false };

describe('a snapshot that arrives', () => {
  it.each([
    ['of this cluster', 'cluster-1', 1, 'taken'],
    ['of this cluster', 'cluster-1', 2, 'taken'],
    ['of a program of cluster version 1', '', 1, 'taken'],
    [
      'of an unknown cluster',
      '',
      2,
      'The snapshot from b is of an unknown cluster; a is in cluster cluster-1.',
    ],
    ['of another cluster', 'c-2', 1, 'The snapshot from b is of cluster c-2; a is in cluster cluster-1.'],
    [
      'of a cluster that is none',
      'c\n2',
      2,
      'The snapshot from b is of cluster c\ufffd2; a is in cluster cluster-1.',
    ],
  ])('%s (%j) at cluster version %i', async (_, cluster, version, expected) => {
    const outcome = await receiveSnapshot(call(headerOf(cluster)), route, local(version)).then(
      ({ header }) => (header.snapshot.index === 1 ? 'taken' : ''),
      (error: Error) => error.message,
    );
    expect(outcome).toBe(expected);
  });

  describe('and stands still', () => {
    beforeEach(() => {
      vi.useFakeTimers();
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    it('before its header is given up', async () => {
      const received = receiveSnapshot(call(), route, local(2)).catch((error: Error) => error.message);
      await vi.advanceTimersByTimeAsync(SNAPSHOT_HEADER_TIMEOUT_MS);
      expect(await received).toBe('The snapshot from b stood still for 10 s.');
    });

    it('in the middle is given up', async () => {
      const { chunks } = await receiveSnapshot(call(headerOf('cluster-1'), chunk), route, local(2));
      const content = chunks[Symbol.asyncIterator]();
      expect(await content.next()).toEqual({ done: false, value: Buffer.of(1) });
      const next = content.next().catch((error: Error) => error.message);
      await vi.advanceTimersByTimeAsync(SNAPSHOT_CHUNK_TIMEOUT_MS);
      expect(await next).toBe('The snapshot from b stood still for 60 s.');
      expect(vi.getTimerCount()).toBe(0);
    });
  });
});
