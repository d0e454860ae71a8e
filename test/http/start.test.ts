import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it, vi } from 'vitest';
import { HttpMetrics } from '../../src/http/metrics.js';
import { serve } from './kit.js';

// Files of tests have modules of their own, so nothing was compiled or loaded here before.
it('what takes long the first time is done before the server listens, and not again', async () => {
  const compile = vi.spyOn(Ajv2020.prototype, 'compile');
  const load = vi.spyOn(HttpMetrics.prototype, 'loadLibrary');
  const { app } = serve();
  await app.ready();
  expect(load).toHaveBeenCalledTimes(1);
  const compiled = compile.mock.calls.length;
  expect(compiled).toBeGreaterThanOrEqual(10);
  const bodies = [
    ['/v1/txn', { success: [{ get: { key: 'a' } }] }],
    ['/v1/leases', { ttlSeconds: 10 }],
    ['/v1/locks/a', { ttlSeconds: 10 }],
    ['/v1/compact', {}],
    ['/v1/members', { id: 'n2', peer: '127.0.0.1:1' }],
  ] as const;
  for (const [url, payload] of bodies) await app.inject({ method: 'POST', url, payload });
  expect(compile.mock.calls.length).toBe(compiled);
  await app.close();
});
