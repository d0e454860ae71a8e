import { describe, expect, it } from 'vitest';
import { listen, RawConnection, serve } from './kit.js';

type App = ReturnType<typeof serve>['app'];

async function take(app: App, name: string, body: object = {}) {
  const answer = await app.inject({
    method: 'POST',
    url: `/v1/locks/${name}`,
    payload: JSON.stringify({ ttlSeconds: 30, ...body }),
  });
  return { status: answer.statusCode, body: JSON.parse(answer.body) };
}

async function release(app: App, name: string, token: number) {
  const answer = await app.inject({ method: 'DELETE', url: `/v1/locks/${name}?token=${token}` });
  return { status: answer.statusCode, body: JSON.parse(answer.body) };
}

const show = async (app: App, name: string) => JSON.parse((await app.inject(`/v1/locks/${name}`)).body);

async function untilWaiting(app: App, name: string, count: number): Promise<void> {
  while ((await show(app, name)).waiting !== count) await new Promise((resolve) => setImmediate(resolve));
}

describe('a lock', () => {
  it('may be waited for by many, of which the process does not complain', async () => {
    const { app } = serve();
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    try {
      await take(app, 'a');
      const waiting = Array.from({ length: 12 }, () => take(app, 'a', { waitSeconds: 60 }));
      await untilWaiting(app, 'a', waiting.length);
      expect(warnings).toEqual([]);
      await app.close();
      expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(waiting.map(() => 503));
    } finally {
      process.off('warning', warn);
    }
  });

  it('is held by one, and goes to the next with a greater token', async () => {
    const { app } = serve();
    expect(await show(app, 'a')).toEqual({ name: 'a', held: false, waiting: 0 });
    const first = await take(app, 'a', { value: 'me' });
    expect(first).toEqual({ status: 200, body: { name: 'a', token: 1, lease: '1' } });
    expect(await show(app, 'a')).toEqual({
      name: 'a',
      held: true,
      token: 1,
      lease: '1',
      value: 'me',
      waiting: 0,
    });
    expect(await take(app, 'a')).toMatchObject({
      status: 409,
      body: { code: 'lock_held', token: 1, value: 'me' },
    });
    expect(await release(app, 'a', 1)).toEqual({ status: 200, body: { name: 'a', released: true } });
    const second = await take(app, 'a');
    expect(second.body.token).toBeGreaterThan(first.body.token);
    expect(await release(app, 'a', 1)).toMatchObject({ status: 409, body: { code: 'lock_not_held' } });
    expect((await show(app, 'a')).token).toBe(second.body.token);
  });

  it('is given in the order of asking', async () => {
    const { app } = serve();
    const held = await take(app, 'a');
    const order: number[] = [];
    const waiting: Promise<{ body: { token: number } }>[] = [];
    for (let place = 0; place < 5; place += 1) {
      const asked = take(app, 'a', { waitSeconds: 60 });
      waiting.push(asked);
      void asked.then(() => order.push(place));
      await untilWaiting(app, 'a', place + 1);
    }
    let { token } = held.body;
    for (const [place, asked] of waiting.entries()) {
      await release(app, 'a', token);
      const { body } = await asked;
      expect(body.token).toBeGreaterThan(token);
      token = body.token;
      expect(order).toEqual([...Array(place + 1).keys()]);
      expect((await show(app, 'a')).waiting).toBe(waiting.length - place - 1);
    }
  });

  it('has the lease that was asked for when it was waited for', async () => {
    const { app } = serve();
    const first = await take(app, 'a');
    const asked = take(app, 'a', { ttlSeconds: 5, waitSeconds: 60 });
    await untilWaiting(app, 'a', 1);
    await release(app, 'a', first.body.token);
    const { body } = await asked;
    const lease = JSON.parse((await app.inject(`/v1/leases/${body.lease}`)).body);
    expect(lease).toMatchObject({ ttlSeconds: 5, remainingSeconds: 5 });
  });

  it('is not waited for past the time, and the place in line is given up', async () => {
    const { app } = serve();
    await take(app, 'a');
    expect(await take(app, 'a', { waitSeconds: 0.05 })).toMatchObject({
      status: 409,
      body: { code: 'lock_held' },
    });
    expect((await show(app, 'a')).waiting).toBe(0);
  });

  it('is not waited for by a client that hung up', async () => {
    const { app } = serve();
    await take(app, 'a');
    const connection = new RawConnection(await listen(app));
    const body = '{"ttlSeconds":30,"waitSeconds":60}';
    connection.send(`POST /v1/locks/a HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await untilWaiting(app, 'a', 1);
    connection.socket.destroy();
    await untilWaiting(app, 'a', 0);
    await app.close();
  });

  it('gives up the place in line of everybody when the node stops, and does not say that the time is up', async () => {
    const { app, node } = serve();
    await take(app, 'a');
    const asked = take(app, 'a', { waitSeconds: 60 });
    await untilWaiting(app, 'a', 1);
    await app.close();
    // Not lock_held: there is time left to wait, on another node.
    expect(await asked).toMatchObject({ status: 503, body: { code: 'shutting_down' } });
    const prefix = Buffer.from('.raftkv/locks/');
    const line = await node.list({
      prefix,
      after: undefined,
      limit: 10,
      keysOnly: true,
      revision: undefined,
    });
    expect(line.items).toHaveLength(1);
  });

  it('takes the keys along that were put with its lease, when it is released', async () => {
    const { app } = serve();
    const { body } = await take(app, 'a');
    await app.inject({ method: 'PUT', url: `/v1/kv/worker?lease=${body.lease}`, payload: 'me' });
    expect((await release(app, 'a', body.token)).status).toBe(200);
    expect((await app.inject('/v1/kv/worker')).statusCode).toBe(404);
    expect((await app.inject(`/v1/leases/${body.lease}`)).statusCode).toBe(404);
    expect((await show(app, 'a')).held).toBe(false);
  });

  it('runs out with its lease, and the next in line gets it', async () => {
    const { app, node } = serve();
    const first = await take(app, 'a', { ttlSeconds: 2 });
    const asked = take(app, 'a', { waitSeconds: 60 });
    await untilWaiting(app, 'a', 1);
    node.logTimeMs = 2_000;
    await node.write({ kind: 'leaseExpire', lease: Number(first.body.lease), generation: 1 }, 1_000);
    expect((await asked).body.token).toBeGreaterThan(first.body.token);
    expect(await release(app, 'a', first.body.token)).toMatchObject({ status: 409 });
  });

  it('has nothing to do with locks whose names begin alike', async () => {
    const { app } = serve();
    for (const name of ['a', 'a/b', 'a%FF', 'ab', 'a%2Fc']) expect((await take(app, name)).status).toBe(200);
    expect((await show(app, 'a')).waiting).toBe(0);
    expect((await show(app, 'a%FF')).nameBase64).toBe(Buffer.from('a\xff', 'latin1').toString('base64'));
    expect(
      (await app.inject({ method: 'POST', url: '/v1/locks/a%00b', payload: '{"ttlSeconds":5}' })).statusCode,
    ).toBe(400);
  });

  it('cannot be taken or freed past its door', async () => {
    const { app } = serve();
    await take(app, 'a');
    for (const [method, url] of [
      ['PUT', '/v1/kv/.raftkv/locks/a'],
      ['DELETE', '/v1/kv/.raftkv/locks/a'],
      ['DELETE', '/v1/kv?prefix=.'],
      ['DELETE', '/v1/kv?prefix=.raftkv/locks/a'],
    ] as const) {
      expect((await app.inject({ method, url })).statusCode).toBe(400);
    }
    expect((await show(app, 'a')).held).toBe(true);
    expect(JSON.parse((await app.inject('/v1/kv?prefix=.raftkv/')).body).items).toHaveLength(1);
  });

  it.each([
    ['POST', '/v1/locks/', '{"ttlSeconds":5}', '1 to 1024 bytes'],
    ['POST', '/v1/locks/a', '{}', '"ttlSeconds" is missing'],
    ['POST', '/v1/locks/a', '{"ttlSeconds":5,"waitSeconds":-1}', '"waitSeconds"'],
    ['POST', '/v1/locks/a', '{"ttlSeconds":5,"value":1}', '"value"'],
    ['DELETE', '/v1/locks/a', '', 'needs the token'],
    ['DELETE', '/v1/locks/a?token=1', '{"token":2}', 'needs the token'],
  ] as const)('%s %s %s is refused by name', async (method, url, payload, word) => {
    const { app } = serve();
    const answer = await app.inject({ method, url, payload });
    expect(answer.statusCode).toBe(400);
    expect(JSON.parse(answer.body).detail).toContain(word);
  });
});
