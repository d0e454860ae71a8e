import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeNode } from '../http/fake-node.js';
import { listen, serve } from '../http/kit.js';
import { run } from './kit.js';

let app: FastifyInstance;
let node: FakeNode;
let endpoint: string;

beforeEach(async () => {
  ({ app, node } = serve());
  endpoint = `http://127.0.0.1:${await listen(app)}`;
});
afterEach(() => app.close());

const upgrade = (...parameters: readonly string[]) =>
  run(['upgrade', ...parameters, '--endpoints', endpoint]);
const speaksBoth = (id: string) => ({ id, oldest: 1, newest: 2, reason: '' });

describe('upgrade status', () => {
  it('says when the cluster moves, and how to stop that', async () => {
    const { output } = await upgrade('status');
    expect(output).toContain('The cluster is at version 1. It moves to version 2 in 60 s');
    expect(output).toContain('"raftkv upgrade hold" stops that');
    expect(output).toMatch(/ID +SPEAKS\nn1 +versions 1 to 2\n/);
    expect(JSON.parse((await upgrade('status', '--json')).output)).toEqual(node.versions);
  });

  it('says which members are in the way', async () => {
    node.versions = {
      clusterVersion: 1,
      spokenByAll: 1,
      held: true,
      raiseInMs: null,
      members: [
        speaksBoth('n1'),
        { id: 'n2', oldest: 1, newest: 1, reason: '' },
        { id: 'n3', oldest: null, newest: null, reason: 'is not connected' },
      ],
    };
    const { output } = await upgrade('status');
    expect(output).toContain('It moves to version 2 when every member speaks it. It is held');
    expect(output).toMatch(/n2 +version 1\nn3 +unknown: is not connected\n/);
  });

  it('says that there is nothing to do', async () => {
    node.versions = {
      ...node.versions,
      clusterVersion: 2,
      spokenByAll: 2,
      raiseInMs: null,
      members: [speaksBoth('n1')],
    };
    expect((await upgrade('status')).output).toContain(
      'The cluster is at version 2, the newest that its members speak.',
    );
  });
});

describe('upgrade finish', () => {
  it('moves the cluster to the newest version', async () => {
    expect(await upgrade('finish')).toMatchObject({
      code: 0,
      output: 'the cluster has moved to version 2\n',
    });
    expect(node.calls[0]).toMatch(/^raiseClusterVersion 2 /);
    expect((await upgrade('finish', '--json')).output).toBe('{"clusterVersion":2}\n');
  });

  it('does nothing where that is in force', async () => {
    node.versions = { ...node.versions, clusterVersion: 2, spokenByAll: 2 };
    expect((await upgrade('finish')).output).toBe('the cluster is at version 2 already\n');
    expect(node.calls).toEqual([]);
  });

  it('asks for the newest version that a member speaks, and so fails with those that are missing', async () => {
    node.versions = { ...node.versions, spokenByAll: 1 };
    expect(await upgrade('finish')).toMatchObject({
      code: 1,
      errors: expect.stringContaining('cluster_not_upgraded'),
    });
  });
});

it('upgrade hold and resume say what follows', async () => {
  expect((await upgrade('hold')).output).toBe(
    'the cluster stays at version 1 until raftkv upgrade resume or finish\n',
  );
  expect((await upgrade('resume')).output).toBe(
    'the cluster is at version 1 and moves on by itself; see raftkv upgrade status\n',
  );
  expect(node.calls.map((call) => call.split(' ').slice(0, 2))).toEqual([
    ['holdClusterVersion', 'true'],
    ['holdClusterVersion', 'false'],
  ]);
});
