import { describe, expect, it } from 'vitest';
import { RaftkvError, StorageDamaged } from '../../src/errors.js';
import { serve } from './kit.js';

describe('consistency', () => {
  it('confirms a read unless it is stale, and says which it was', async () => {
    const { app, node } = serve();
    await app.inject({ method: 'PUT', url: '/v1/kv/a' });
    const confirmed = await app.inject('/v1/kv/a?consistency=linearizable&timeout=2s');
    expect(node.calls).toContain('confirmRead 2000');
    expect(confirmed.headers['raftkv-consistency']).toBe('linearizable');
    node.calls.length = 0;
    const stale = await app.inject('/v1/kv/a?consistency=stale');
    expect(node.calls).toEqual([]);
    expect(stale.headers['raftkv-consistency']).toBe('stale');
  });

  it('reads by the lease where there is one, and confirms the read where there is none', async () => {
    const { app, node } = serve();
    await app.inject({ method: 'PUT', url: '/v1/kv/a' });
    node.holdsLease = true;
    for (const url of ['/v1/kv/a', '/v1/kv?limit=1']) {
      node.calls.length = 0;
      const separator = url.includes('?') ? '&' : '?';
      const byLease = await app.inject(`${url}${separator}consistency=lease`);
      expect(node.calls).toContain('readsByLease');
      expect(node.calls.join()).not.toContain('confirmRead');
      expect(byLease.headers['raftkv-consistency']).toBe('lease');
    }
    node.holdsLease = false;
    node.calls.length = 0;
    const confirmed = await app.inject('/v1/kv/a?consistency=lease&timeout=2s');
    expect(node.calls).toEqual(['readsByLease', 'confirmRead 2000']);
    expect(confirmed.headers['raftkv-consistency']).toBe('linearizable');
  });

  it('goes to the leader for a lease, too', async () => {
    const { app, node } = serve();
    node.routed = { kind: 'follower', leader: 'n2', url: 'http://n2:8102' };
    const answer = await app.inject('/v1/kv/a?consistency=lease');
    expect([answer.statusCode, answer.headers.location]).toEqual([
      307,
      'http://n2:8102/v1/kv/a?consistency=lease',
    ]);
  });

  it('refuses what is no consistency', async () => {
    const { app } = serve();
    expect((await app.inject('/v1/kv/a?consistency=strong')).statusCode).toBe(400);
  });

  it('serves stale reads where they land, with no leader too', async () => {
    const { app, node } = serve();
    await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'x' });
    node.routed = { kind: 'noLeader' };
    expect((await app.inject('/v1/kv/a?consistency=stale')).body).toBe('x');
    expect((await app.inject('/v1/kv?consistency=stale')).statusCode).toBe(200);
    expect((await app.inject('/v1/kv/a?timeout=10ms')).statusCode).toBe(503);
  });

  it('answers 503 unavailable when the read cannot be confirmed', async () => {
    const { app, node } = serve();
    node.failure = new RaftkvError('unavailable', 'No majority answered.');
    const answer = await app.inject('/v1/kv/a');
    expect(answer.statusCode).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'unavailable', detail: 'No majority answered.' });
  });
});

describe('revisions', () => {
  it('reads the past, and answers 410 where it is gone and 400 where it has not come yet', async () => {
    const { app, node } = serve();
    for (const payload of ['one', 'two', 'three'])
      await app.inject({ method: 'PUT', url: '/v1/kv/a', payload });
    expect((await app.inject('/v1/kv/a?revision=2')).body).toBe('two');
    expect((await app.inject('/v1/kv/a?revision=0')).statusCode).toBe(404);
    expect(JSON.parse((await app.inject('/v1/kv?revision=0')).body)).toEqual({ revision: 0, items: [] });
    node.compactedRevision = 2;
    const gone = await app.inject('/v1/kv/a?revision=1');
    expect(gone.statusCode).toBe(410);
    expect(JSON.parse(gone.body)).toMatchObject({ code: 'compacted' });
    expect((await app.inject('/v1/kv?revision=1')).statusCode).toBe(410);
    expect((await app.inject('/v1/kv/a?revision=9')).statusCode).toBe(400);
  });

  it('waits for minRevision, bounded by the timeout', async () => {
    const { app } = serve();
    const waiting = app.inject('/v1/kv/a?consistency=stale&minRevision=1');
    await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'mine' });
    expect((await waiting).body).toBe('mine');
    const late = await app.inject('/v1/kv/a?minRevision=5&timeout=20ms');
    expect(late.statusCode).toBe(503);
    expect(JSON.parse(late.body)).toMatchObject({ code: 'unavailable' });
  });

  it('lets a stale read of a revision wait until this node has it', async () => {
    const { app, node } = serve();
    const waiting = app.inject('/v1/kv/a?consistency=stale&revision=1');
    await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'x' });
    expect((await waiting).body).toBe('x');
    expect(node.calls).toContain('waitForRevision 1');
  });
});

describe('numbers and durations', () => {
  it.each([
    'minRevision=-1',
    'minRevision=1.5',
    'minRevision=',
    'minRevision=99999999999999999999',
    'revision=-1',
    'revision=abc',
    'timeout=5',
    'timeout=0s',
    'timeout=1.5s',
    'timeout=61m',
    'timeout=99999999999h',
    'timeout=',
    'redirect=always',
    'unknown=1',
    'timeout=1s&timeout=2s',
    'consistency=%ZZ',
    '=',
  ])('refuses ?%s with 400', async (query) => {
    const { app, node } = serve();
    const answer = await app.inject(`/v1/kv/a?${query}`);
    expect(answer.statusCode).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'bad_request', status: 400 });
    expect(node.calls).toEqual([]);
  });

  it.each(['limit=0', 'limit=1001', 'limit=x', 'keysOnly=maybe', 'keysOnly', `prefix=${'p'.repeat(4097)}`])(
    'refuses a listing with ?%.30s',
    async (query) => {
      const { app } = serve();
      expect((await app.inject(`/v1/kv?${query}`)).statusCode).toBe(400);
    },
  );

  it.each([
    ['250ms', 250],
    ['5s', 5_000],
    ['2m', 120_000],
    ['1h', 3_600_000],
  ])('understands timeout=%s', async (text, milliseconds) => {
    const { app, node } = serve();
    await app.inject(`/v1/kv/a?timeout=${text}`);
    expect(node.calls).toContain(`confirmRead ${milliseconds}`);
  });
});

describe('a read that meets damage', () => {
  it('of the disk of this node is answered with that error, and the damage is passed on', async () => {
    const damages: StorageDamaged[] = [];
    const { app, node } = serve({ damaged: (error) => damages.push(error) });
    node.failure = new StorageDamaged('state', 'A value is damaged.');
    const answer = await app.inject('/v1/kv/a?consistency=stale');
    expect([answer.statusCode, answer.json().code]).toEqual([500, 'storage_damaged']);
    expect(answer.json().detail).toContain('ask another member');
    expect(damages).toEqual([node.failure]);
  });

  // A leader answers what was forwarded to it: its disk is damaged, and not the one of the node that was asked.
  it('that another node speaks of is answered with that error, and does not concern this node', async () => {
    const damages: StorageDamaged[] = [];
    const { app, node } = serve({ damaged: (error) => damages.push(error) });
    node.failure = new RaftkvError('storage_damaged', 'Over there.');
    const answer = await app.inject('/v1/kv/a');
    expect([answer.statusCode, answer.json().code]).toEqual([500, 'storage_damaged']);
    expect(damages).toEqual([]);
  });
});
