import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it, vi } from 'vitest';

it('what takes long the first time is done before the server listens, and not again', async () => {
  // Another test may have compiled these schemas already.
  vi.resetModules();
  const { HttpMetrics } = await import('../../src/http/metrics.js');
  const { serve } = await import('./kit.js');
  const compile = vi.spyOn(Ajv2020.prototype, 'compile');
  const load = vi.spyOn(HttpMetrics.prototype, 'loadLibrary');
  try {
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
  } finally {
    vi.restoreAllMocks();
  }
});
