import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { noPeerAuth } from '../../src/transport/peer-auth.js';
import { append, TestNode } from './conformance-world.js';
import { GrpcWorld } from './grpc-world.js';

const SECRET = Buffer.from('0123456789abcdef0123456789abcdef');

let world: GrpcWorld;
let permissive: TestNode;
beforeEach(async () => {
  world = new GrpcWorld({ mode: 'permissive', secrets: () => [SECRET] });
  permissive = await TestNode.start(world, { id: 'a' });
});
afterEach(() => world.close());

/** Both can send to each other. */
async function talk(other: TestNode, address = other.address): Promise<void> {
  permissive.knows(other, { address });
  other.knows(permissive);
  await world.until(() => permissive.isConnected() && other.isConnected(), 'both are connected');
  permissive.transport.send(append(permissive, other, 1));
  other.transport.send(append(other, permissive, 1));
  await world.until(() => permissive.received.length > 0 && other.received.length > 0, 'both hear');
}

describe('a node that need not prove the secret, and can', () => {
  test('talks with one that has none, both ways', async () => {
    world.auth = noPeerAuth;
    await talk(await TestNode.start(world, { id: 'b' }));
  });

  test('talks with one that has the same, and one that demands it', async () => {
    world.auth = { mode: 'required', secrets: () => [SECRET] };
    await talk(await TestNode.start(world, { id: 'b' }));
    expect(world.refused).toEqual([]);
  });

  test('says so when the other demands a proof by another secret', async () => {
    world.auth = { mode: 'required', secrets: () => [Buffer.alloc(32, 'x')] };
    const other = await TestNode.start(world, { id: 'b' });
    permissive.knows(other);
    await world.until(() => permissive.connection()?.state === 'refused', 'it is refused');
    expect(permissive.connection()?.reason).toMatch(/another cluster secret/);
    const hello = { identity: permissive.identity, initialCluster: '' };
    await expect(permissive.transport.handshake(other.address, hello, 10_000)).rejects.toThrow(
      /another cluster secret/,
    );
  });

  describe('and a program that does not know the exchange of proofs', () => {
    let front: Server;
    const sockets = new Set<Socket>();
    afterEach(() => {
      for (const socket of sockets) socket.destroy();
      front.close();
    });

    test('talk with each other, both ways', async () => {
      world.auth = noPeerAuth;
      const earlier = await TestNode.start(world, { id: 'b' });
      const port = Number(earlier.address.split(':')[1]);
      // An HTTP/2 server begins with its settings, and ends a connection that does not begin as HTTP/2.
      front = createServer((socket) => {
        sockets.add(socket.on('error', () => {}));
        socket.once('data', (first) => {
          if (!String(first).startsWith('PRI ')) {
            socket.end(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
            return;
          }
          const onward = connect(port, '127.0.0.1').on('error', () => {});
          sockets.add(onward);
          onward.write(first);
          socket.pipe(onward).pipe(socket);
        });
      }).listen(0, '127.0.0.1');
      await once(front, 'listening');
      const address = front.address();
      if (address === null || typeof address === 'string') throw new Error('The server listens.');
      await talk(earlier, `127.0.0.1:${address.port}`);
    });
  });
});
