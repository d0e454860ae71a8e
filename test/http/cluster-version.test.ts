import { describe, expect, it } from 'vitest';
import { serve } from './kit.js';

const url = '/v1/cluster-version';

describe('the cluster version', () => {
  it('is shown with what each member speaks, by any node', async () => {
    const { app, node } = serve();
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://10.0.0.2:8101' };
    const answer = await app.inject(url);
    expect([answer.statusCode, JSON.parse(answer.body)]).toEqual([200, node.versions]);
  });

  it('is raised, and held, by any node: the leader may be too old to know of it', async () => {
    const { app, node } = serve();
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://10.0.0.2:8101' };
    const raised = await app.inject({
      method: 'PUT',
      url: `${url}?timeout=3s`,
      payload: '{"clusterVersion":2}',
    });
    expect([raised.statusCode, JSON.parse(raised.body)]).toEqual([200, { clusterVersion: 2 }]);
    const held = await app.inject({ method: 'PUT', url: `${url}/hold` });
    expect([held.statusCode, JSON.parse(held.body)]).toEqual([200, { held: true }]);
    const resumed = await app.inject({ method: 'DELETE', url: `${url}/hold` });
    expect([resumed.statusCode, JSON.parse(resumed.body)]).toEqual([200, { held: false }]);
    expect(node.calls.map((call) => call.replace(/\d+$/, ''))).toEqual([
      'raiseClusterVersion 2 ',
      'holdClusterVersion true ',
      'holdClusterVersion false ',
    ]);
  });

  it.each([
    ['PUT', url, '{"clusterVersion":2}'],
    ['PUT', `${url}/hold`, ''],
    ['DELETE', `${url}/hold`, ''],
  ] as const)('waits for a leader to be changed: %s %s', async (method, path, payload) => {
    const { app, node } = serve();
    node.routed = { kind: 'noLeader' };
    const late = await app.inject({ method, url: `${path}?timeout=40ms`, payload });
    expect([late.statusCode, JSON.parse(late.body).code]).toEqual([503, 'no_leader']);
    expect(node.calls).toEqual([]);
    const changed = app.inject({ method, url: path, payload });
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(node.calls).toEqual([]);
    node.routeTo({ kind: 'follower', leader: 'n2', url: 'http://10.0.0.2:8101' });
    expect((await changed).statusCode).toBe(200);
  });

  it('is refused with 409 while a member does not speak it', async () => {
    const { app } = serve();
    const answer = await app.inject({ method: 'PUT', url, payload: '{"clusterVersion":3}' });
    expect([answer.statusCode, JSON.parse(answer.body)]).toMatchObject([
      409,
      { code: 'cluster_not_upgraded', neededVersion: 3 },
    ]);
  });

  it.each(['', '{}', '{"clusterVersion":"2"}', '{"clusterVersion":0}', '{"clusterVersion":2,"force":true}'])(
    'is not raised by the body %s',
    async (payload) => {
      const { app, node } = serve();
      const answer = await app.inject({ method: 'PUT', url, payload });
      expect([answer.statusCode, JSON.parse(answer.body).code]).toEqual([400, 'bad_request']);
      expect(node.calls).toEqual([]);
    },
  );
});
