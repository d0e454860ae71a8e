import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ForwardOperation } from '../../src/transport/contract.js';
import { wire } from '../../src/transport/wire.js';
import { TestNode } from './conformance-world.js';
import { GrpcWorld } from './grpc-world.js';
import { listening, notPeers, rawText } from './not-peers.js';

let world: GrpcWorld;
beforeEach(() => {
  world = new GrpcWorld();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await world.close();
});

describe('where a peer was expected', () => {
  it.each(Object.keys(notPeers))('%s does not answer, and is told of in words', async (what) => {
    const a = await TestNode.start(world, { id: 'a' });
    const other = await listening(notPeers[what]?.() as never);
    const hello = { identity: a.identity, initialCluster: '' };
    const error = await a.transport
      .handshake(other.address, hello, 10_000)
      .catch((thrown: unknown) => thrown);
    await other.close();
    expect(error).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(
        /^127\.0\.0\.1:\d+ did not answer: (no connection came about( \(E[A-Z]+\))?|what it sent is not of a raftkv node)\.$/,
      ),
    });
    expect((error as Error).message).not.toMatch(rawText);
  });
});

it.each([
  ['propose', 'outcome_unknown'],
  ['readIndex', 'unavailable'],
] as const)('an answer to %s that cannot be read is %s', async (operation: ForwardOperation, code) => {
  const a = await TestNode.start(world, { id: 'a' });
  const b = await TestNode.start(world, { id: 'b' });
  a.transport.setPeers([{ id: 'b', incarnation: 'b-incarnation', address: b.address }]);
  await world.until(() => a.isConnected(), 'it is connected');
  vi.spyOn(wire.forwardResponse, 'encode').mockReturnValue(Buffer.from([255, 255, 255]));
  const asked = a.transport.forward('b', { operation, payload: new Uint8Array() }, 10_000);
  await expect(asked).rejects.toThrow(expect.objectContaining({ code }));
});
