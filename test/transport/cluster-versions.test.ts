import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TestNode } from './conformance-world.js';
import { GrpcWorld } from './grpc-world.js';

let world: GrpcWorld;
beforeEach(() => {
  world = new GrpcWorld();
});
afterEach(() => world.close());

const old = { versions: { oldest: 1, newest: 1 } };

describe('cluster versions over connections', () => {
  test('are reported by whoever answers, with its incarnation, while both streams are open', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    const b = await TestNode.start(world, { id: 'b', versions: { oldest: 1, newest: 7 } });
    a.knows(b, { incarnation: '' });
    expect(a.connection()?.report).toBeUndefined();
    await world.until(() => a.isConnected(), 'it is connected');
    const report = { incarnation: 'b-incarnation', versions: { oldest: 1, newest: 7 } };
    expect(a.connection()?.report).toEqual(report);
    await b.transport.stop(0);
    await world.until(() => a.connection()?.report === undefined, 'the report went with the connection');
  });

  test('are 1 to 1 for a node that says nothing about them', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    const b = await TestNode.start(world, { id: 'b' });
    // What a program from before cluster versions sends.
    Object.assign(b.identity, { versions: undefined });
    a.knows(b);
    await world.until(() => a.isConnected(), 'it is connected');
    expect(a.connection()?.report?.versions).toEqual({ oldest: 1, newest: 1 });
  });

  test.each([
    { name: 'empty', versions: { oldest: 0, newest: 0 } },
    { name: 'turned around', versions: { oldest: 3, newest: 2 } },
  ])('are refused where the range is $name', async ({ versions }) => {
    const a = await TestNode.start(world, { id: 'a' });
    const b = await TestNode.start(world, { id: 'b', versions });
    a.knows(b);
    await world.until(() => a.connection()?.state === 'refused', 'the connection is refused');
    expect(a.connection()?.reason).toContain('is not a raftkv node');
    b.knows(a);
    await world.until(() => b.connection()?.state === 'refused', 'the connection is refused');
    expect(b.connection()?.reason).toContain('did not introduce itself');
  });

  test('refuse an older program in a cluster that has moved on, whoever calls', async () => {
    const b = await TestNode.start(world, { id: 'b', ...old });
    world.clusterVersion = 2;
    const a = await TestNode.start(world, { id: 'a' });
    const sentence =
      'b speaks cluster version 1 and the cluster has moved to version 2: start b with the version of raftkv that the other ' +
      'members run.';
    a.knows(b);
    await world.until(() => a.connection()?.state === 'refused', 'the connection is refused');
    expect(a.connection()).toMatchObject({ reason: sentence });
    expect(a.connection()?.report).toBeUndefined();
    b.knows(a);
    await world.until(() => b.connection()?.state === 'refused', 'the connection is refused');
    expect(b.connection()).toMatchObject({ reason: sentence });
  });

  test('refuse a program that needs a newer cluster', async () => {
    const a = await TestNode.start(world, { id: 'a' });
    const b = await TestNode.start(world, { id: 'b', versions: { oldest: 2, newest: 3 } });
    a.knows(b);
    await world.until(() => a.connection()?.state === 'refused', 'the connection is refused');
    expect(a.connection()?.reason).toBe(
      'b needs cluster version 2 and the cluster is at version 1: upgrade in steps, first to a version of raftkv that ' +
        'speaks both, and wait until the cluster has moved to version 2.',
    );
  });
});
