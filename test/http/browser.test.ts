import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { listen, serve } from './kit.js';

const browser = ['chromium', 'chromium-browser', 'google-chrome'].find(
  (name) => spawnSync(name, ['--version'], { timeout: 10_000 }).status === 0,
);
if (browser === undefined)
  console.warn('No Chromium is installed here, so what a real browser lets web pages do is not tested.');

/** Tries everything that a page of another origin could, and writes down how far it came. */
const page = `<pre id="said">nothing</pre><script>
  const node = new URLSearchParams(location.search).get('node');
  const said = [];
  const attempt = async (name, task) => said.push(name + '=' + (await task().catch(() => 'failed')));
  const post = (path, body) =>
    fetch(node + path, { method: 'POST', mode: 'no-cors', headers: { 'content-type': 'text/plain' }, body })
      .then(() => 'sent');
  (async () => {
    await attempt('txn', () => post('/v1/txn', '{"success":[{"put":{"key":"a","value":"overwritten"}}]}'));
    await attempt('member', () => post('/v1/members', '{"id":"evil","peer":"127.0.0.1:9"}'));
    await attempt('lease', () => post('/v1/leases', '{"ttlSeconds":30}'));
    await attempt('lock', () => post('/v1/locks/a', '{"ttlSeconds":30}'));
    await attempt('put', () => fetch(node + '/v1/kv/a', { method: 'PUT', body: 'x' }).then((answer) => answer.status));
    await attempt('read', () => fetch(node + '/v1/kv/a').then((answer) => answer.text()));
    document.getElementById('said').textContent = said.join(' ');
  })();
</script>`;

async function servePage(): Promise<Server> {
  const server = createServer((_, response) => response.setHeader('content-type', 'text/html').end(page));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const portOf = (server: Server) => (server.address() as AddressInfo).port;

/** What a real browser shows at this address; `evil.example` resolves to this machine. */
function visit(url: string): Promise<string> {
  const profile = mkdtempSync(join(tmpdir(), 'raftkv-browser-'));
  const flags = [
    ['--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=15000'],
    [`--user-data-dir=${profile}`, '--host-resolver-rules=MAP evil.example 127.0.0.1', '--dump-dom', url],
  ].flat();
  return new Promise((resolve, reject) => {
    execFile(browser ?? '', flags, { timeout: 60_000 }, (error, output) => {
      rmSync(profile, { recursive: true, force: true });
      if (error) reject(error);
      else resolve(output);
    });
  });
}

it.skipIf(browser === undefined)(
  'in a real browser, a page of another origin changes nothing and reads nothing, and one of a configured origin does',
  async () => {
    const attacker = await servePage();
    const origin = `http://evil.example:${portOf(attacker)}`;
    for (const corsOrigins of [[], [origin]]) {
      const { app, node } = serve({ corsOrigins });
      const port = await listen(app);
      await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'hidden' });
      const said = await visit(`${origin}/?node=${encodeURIComponent(`http://127.0.0.1:${port}`)}`);
      const value = (await app.inject('/v1/kv/a')).body;
      const members = node.memberList.map(({ id }) => id);
      const isForeign = corsOrigins.length === 0;
      expect(said).toContain('txn=sent member=sent lease=sent lock=sent');
      expect(said).toContain(isForeign ? 'put=failed read=failed' : 'put=200 read=x');
      expect(value).toBe(isForeign ? 'hidden' : 'x');
      expect(members).toEqual(isForeign ? ['n1'] : ['n1', 'evil']);
      // The page's own name now leads to the node.
      const rebound = await visit(`http://evil.example:${port}/v1/kv`);
      expect(rebound).toContain('host_not_allowed');
      expect(rebound).not.toContain('hidden');
      await app.close();
    }
    attacker.close();
  },
  240_000,
);
