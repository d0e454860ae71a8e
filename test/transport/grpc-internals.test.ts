import { ChannelCredentials, Server } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { Dial } from '../../src/transport/dial.js';
import { Doorkeeper } from '../../src/transport/doorkeeper.js';
import { Gate } from '../../src/transport/gate.js';
import { noPeerAuth } from '../../src/transport/peer-auth.js';
import { Refusals } from '../../src/transport/refusals.js';
import { TestNode } from './conformance-world.js';
import { GrpcWorld } from './grpc-world.js';

/**
 * What this project uses of grpc-js beyond its documentation. A failure here after an upgrade of grpc-js says which of
 * the two places has to be brought up to date: `src/transport/dial.ts` or `src/transport/gate.ts`.
 */

const SECRET = Buffer.from('0123456789abcdef0123456789abcdef');
const local = {
  identity: () => ({
    cluster: 'cluster-1',
    id: 'x',
    incarnation: 'x-incarnation',
    peerAddress: '',
    clientUrl: '',
    versions: SPOKEN_VERSIONS,
  }),
  clusterVersion: () => 1,
  auth: noPeerAuth,
  knows: () => true,
};

describe('the client side', () => {
  test('asks credentials for a connector and gives it each socket before HTTP/2 begins', () => {
    const connector = ChannelCredentials.createInsecure()._createSecureConnector({ path: '127.0.0.1:1' }, {});
    expect(Object.keys(connector).sort()).toEqual([
      'connect',
      'destroy',
      'getCallCredentials',
      'waitForReady',
    ]);
  });

  let world: GrpcWorld;
  beforeEach(() => {
    world = new GrpcWorld({ mode: 'required', secrets: () => [SECRET] });
  });
  afterEach(() => world.close());

  test('goes on with what the connector gives, and proves itself anew on each connection', async () => {
    const b = await TestNode.start(world, { id: 'b' });
    const dial = new Dial(
      { id: 'b', incarnation: '', address: b.address },
      {
        ...local,
        auth: { mode: 'required', secrets: () => [SECRET] },
      },
    );
    const ready = () =>
      new Promise<void>((resolve, reject) => {
        dial.client.waitForReady(Date.now() + 10_000, (error) => (error ? reject(error) : resolve()));
      });
    await ready();
    expect(dial.proven).toEqual({ cluster: 'cluster-1', id: 'b', incarnation: 'b-incarnation' });
    dial.close();
  });
});

describe('the server side', () => {
  test('keeps the one HTTP/2 server of an injector where its streams can be seen first', () => {
    const grpc = new Server();
    const gate = new Gate(grpc, new Doorkeeper(local, new Refusals(() => {})));
    expect(gate).toBeInstanceOf(Gate);
    grpc.forceShutdown();
  });
});
