import { afterEach, describe, expect, it } from 'vitest';
import { deadUrl, FakeServer } from '../client/fake-server.js';
import { listen, serve } from '../http/kit.js';
import { run } from './kit.js';

const servers: FakeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

const compacted = { status: 410, code: 'compacted', detail: 'Those changes are not kept any more.' };

/** A node that gives these events and then says that it cannot go on, so that the command ends. */
async function nodeWith(events: readonly string[]): Promise<FakeServer> {
  const server = await FakeServer.started((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.end([...events, `event: error\ndata: ${JSON.stringify(compacted)}\n\n`].join(''));
  });
  servers.push(server);
  return server;
}

const events = [
  'id: 4\nevent: progress\ndata: {"revision":4}\n\n',
  'id: 5-0\nevent: put\ndata: {"key":"a","value":"\\u001b[2J","createRevision":5,"modRevision":5,"version":1}\n\n',
  'id: 5-1\nevent: put\ndata: {"keyBase64":"/w==","valueBase64":"/g==","createRevision":5,"modRevision":5,"version":1}\n\n',
  'id: 6-0\nevent: delete\ndata: {"key":"a","modRevision":6,"previous":{"key":"a","value":"x","createRevision":5,"modRevision":5,"version":1}}\n\n',
];

describe('watch', () => {
  it('prints a line for every change', async () => {
    const { url, arrived } = await nodeWith(events);
    const watched = await run(['watch', '--prefix', 'a/ü', '--from-revision', '5', '--endpoints', url]);
    expect(watched.output.split('\n')).toEqual([
      '5 put a "\\u001b[2J"',
      '5 put base64:/w== base64:/g==',
      '6 delete a',
      '',
    ]);
    expect(watched.code).toBe(1);
    expect(watched.errors).toBe('raftkv: Those changes are not kept any more. (compacted)\n');
    expect(Object.fromEntries(arrived[0]?.query ?? [])).toEqual({
      prefix: 'a/ü',
      fromRevision: '5',
      redirect: 'never',
    });
  });

  it('prints an object a line for programs, as the server does', async () => {
    const { url } = await nodeWith(events);
    const watched = await run(['watch', 'a', '--previous', '--json', '--endpoints', url]);
    const item = { createRevision: 5, modRevision: 5, version: 1 };
    const lines = watched.output.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { type: 'put', revision: 5, n: 0, item: { key: 'a', value: '\u001b[2J', ...item } },
      { type: 'put', revision: 5, n: 1, item: { keyBase64: '/w==', valueBase64: '/g==', ...item } },
      { type: 'delete', revision: 6, n: 0, key: 'a', previous: { key: 'a', value: 'x', ...item } },
    ]);
    expect(JSON.parse(watched.errors)).toEqual(compacted);
  });

  it('goes on with another node where one ends', async () => {
    const { app, node } = serve({ closeGraceMs: 50 });
    await node.opens();
    const first = `http://127.0.0.1:${await listen(app)}`;
    await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: '1' });
    const second = await nodeWith(['id: 9-0\nevent: delete\ndata: {"key":"a","modRevision":9}\n\n']);
    const watched = run(['watch', 'a', '--from-revision', '1', '--endpoints', `${first},${second.url}`]);
    while (!(await app.inject('/metrics')).body.includes('raftkv_watch_events_total 1'))
      await new Promise((resolve) => setTimeout(resolve, 10));
    await app.close();
    expect((await watched).output).toBe('1 put a 1\n9 delete a\n');
    expect(second.arrived[0]?.headers['last-event-id']).toBe('1-0');
  });

  it('exits with 3 where no node can be reached to begin with', async () => {
    expect(await run(['watch', 'a', '--endpoints', await deadUrl()])).toMatchObject({ code: 3, output: '' });
  });
});
