import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { serve } from './kit.js';

async function filled() {
  const { app } = serve();
  for (let number = 0; number < 20; number += 1) {
    await app.inject({ method: 'PUT', url: `/v1/kv/key-${number}`, payload: 'v'.repeat(200) });
  }
  return app;
}

describe('compression', () => {
  it.each(['gzip', 'br, gzip;q=0.5', 'deflate, GZIP', '*'])(
    'is applied to JSON for %s',
    async (encodings) => {
      const app = await filled();
      const plain = await app.inject('/v1/kv');
      const packed = await app.inject({ url: '/v1/kv', headers: { 'accept-encoding': encodings } });
      expect(packed.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' });
      expect(packed.rawPayload.length).toBeLessThan(plain.rawPayload.length / 4);
      expect(gunzipSync(packed.rawPayload).toString()).toBe(plain.body);
      expect(plain.headers).toMatchObject({ vary: 'Accept-Encoding' });
      expect(plain.headers).not.toHaveProperty('content-encoding');
    },
  );

  it.each(['br', 'gzip;q=0', 'gzip; q=0.0, br', 'identity', 'gzipped'])(
    'is not applied for %s',
    async (encodings) => {
      const app = await filled();
      const answer = await app.inject({ url: '/v1/kv', headers: { 'accept-encoding': encodings } });
      expect(answer.headers).not.toHaveProperty('content-encoding');
    },
  );

  it('leaves values and small answers as they are', async () => {
    const { app } = serve({ valueBytesMax: 10_000 });
    const headers = { 'accept-encoding': 'gzip' };
    const payload = 'v'.repeat(5_000);
    const put = await app.inject({ method: 'PUT', url: '/v1/kv/a', payload, headers });
    const got = await app.inject({ url: '/v1/kv/a', headers });
    expect(got.body).toBe(payload);
    for (const answer of [put, got]) expect(answer.headers).not.toHaveProperty('content-encoding');
  });
});
