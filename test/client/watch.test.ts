import type { ServerResponse } from 'node:http';
import { array, assert, asyncProperty, integer } from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { RaftkvClient, type WatchEvent } from '../../src/client/index.js';
import { listen, serve } from '../http/kit.js';
import { type Arrived, deadUrl, FakeServer, sendJson, sendProblem } from './fake-server.js';

/** After a fetch that was given up, Node opens a connection in reserve, and a server that closes waits for what it may send. */
const closeGraceMs = 50;

const servers: FakeServer[] = [];

async function fake(): Promise<FakeServer> {
  const server = await FakeServer.started();
  servers.push(server);
  return server;
}

afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

interface Change {
  readonly revision: number;
  readonly n: number;
}

const idOf = ({ revision, n }: Change) => `${revision}-${n}`;

/** Ten revisions with one to three events each. */
const changes: readonly Change[] = Array.from({ length: 10 }, (_, index) => index + 1).flatMap((revision) =>
  Array.from({ length: 1 + (revision % 3) }, (_, n) => ({ revision, n })),
);

/** What a node sends of the changes after `position`, as the contract says. */
function streamAfter(position: string): string {
  const [revision = 0, n = Number.POSITIVE_INFINITY] = position.split('-').map(Number);
  const later = changes.filter(
    (change) => change.revision > revision || (change.revision === revision && change.n > n),
  );
  const begin = Number.isFinite(n) ? revision - 1 : revision;
  const events = later.map((change) => {
    const data = {
      key: `k${change.n}`,
      value: 'ü',
      createRevision: 1,
      modRevision: change.revision,
      version: 1,
    };
    return `id: ${idOf(change)}\nevent: put\ndata: ${JSON.stringify(data)}\n\n`;
  });
  return [progress(begin), ...events, progress(10)].join(': heartbeat\n\n');
}

const progress = (revision: number) => `id: ${revision}\nevent: progress\ndata: {"revision":${revision}}\n\n`;

function stream(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.write(text);
}

const positionOf = ({ headers, query }: Arrived) =>
  String(headers['last-event-id'] ?? Number(query.get('fromRevision') ?? 1) - 1);

/** The events of a watch, until so many have come. */
async function take(watch: AsyncIterable<WatchEvent>, count: number): Promise<readonly WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of watch) {
    events.push(event);
    if (events.length >= count) break;
  }
  return events;
}

describe('a watch', () => {
  it('gives changes as they are made, with the key, the item and what was before', async () => {
    const { app, node } = serve({ closeGraceMs });
    await node.opens();
    const client = new RaftkvClient({ endpoints: [`http://127.0.0.1:${await listen(app)}`] });
    await client.put('a', '1', { contentType: 'text/plain' });
    await client.txn({
      success: [{ put: { key: 'a', value: '2' } }, { put: { key: Uint8Array.of(0xff), value: '' } }],
    });
    await client.delete('a');
    const events = await take(client.watch({ prefix: '', fromRevision: 1, previous: true }), 4);
    expect(events).toMatchObject([
      { type: 'put', id: '1-0', revision: 1, n: 0, key: 'a', previous: undefined },
      { type: 'put', id: '2-0', key: 'a', item: { text: '2', version: 2 }, previous: { text: '1' } },
      { type: 'put', id: '2-1', key: '\ufffd', keyBytes: Uint8Array.of(0xff) },
      { type: 'delete', id: '3-0', key: 'a', previous: { text: '2' } },
    ]);
    expect(await take(client.watch({ key: 'a', after: '2-0' }), 1)).toMatchObject([{ id: '3-0' }]);
    await app.close();
  });

  it('begins with the next change unless told otherwise', async () => {
    const { app, node } = serve({ closeGraceMs });
    await node.opens();
    const client = new RaftkvClient({ endpoints: [`http://127.0.0.1:${await listen(app)}`] });
    await client.put('a', '1');
    const first = take(client.watch({ key: 'a' }), 1);
    let isSeen = false;
    const putUntilSeen = async (): Promise<void> => {
      while (!isSeen) {
        await client.put('a', 'later');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const putting = putUntilSeen();
    expect((await first)[0]?.revision).toBeGreaterThan(1);
    isSeen = true;
    await putting;
    await app.close();
  });

  it('says once that it is ready, from when on no change is missed', async () => {
    const { app, node } = serve({ closeGraceMs });
    await node.opens();
    const client = new RaftkvClient({ endpoints: [`http://127.0.0.1:${await listen(app)}`] });
    await client.put('a', '1');
    const seen: string[] = [];
    for await (const event of client.watch({ key: 'a', ready: true })) {
      seen.push(`${event.type} ${event.revision}`);
      // Nothing tells of the put but the watch.
      if (event.type === 'ready') await client.put('a', '2');
      else break;
    }
    expect(seen).toEqual(['ready 1', 'put 2']);
    await app.close();
  });

  it('says that it is ready once, however often its connection breaks', async () => {
    const server = await fake();
    let connections = 0;
    server.answer = (arrived, response) => {
      connections += 1;
      stream(response, streamAfter(positionOf(arrived)));
      if (connections === 1) response.end();
    };
    const client = new RaftkvClient({ endpoints: [server.url] });
    const types: string[] = [];
    for await (const event of client.watch({ prefix: 'k', fromRevision: 1, ready: true })) {
      types.push(event.type);
      if (types.length > changes.length) break;
    }
    expect(types).toEqual(['ready', ...changes.map(() => 'put')]);
  });

  it('loses, repeats and reorders nothing where connections are cut at any byte', async () => {
    const [one, other] = [await fake(), await fake()];
    const client = new RaftkvClient({ endpoints: [one.url, other.url] });
    const whole = Buffer.from(streamAfter('0')).length;
    const cutLengths = array(integer({ min: 0, max: whole }), { minLength: 1, maxLength: 6 });
    await assert(
      asyncProperty(cutLengths, async (lengths) => {
        const left = [...lengths];
        const answer = (arrived: Arrived, response: ServerResponse): void => {
          const bytes = Buffer.from(streamAfter(positionOf(arrived)));
          const length = left.shift() ?? bytes.length;
          response.writeHead(200, { 'Content-Type': 'text/event-stream' });
          response.flushHeaders();
          if (length < bytes.length) response.write(bytes.subarray(0, length), () => response.destroy());
          else response.write(bytes);
        };
        one.answer = answer;
        other.answer = answer;
        const events = await take(client.watch({ prefix: 'k', fromRevision: 1 }), changes.length);
        expect(events.map(idOf)).toEqual(changes.map(idOf));
      }),
      { numRuns: 25 },
    );
    const resumed = [...one.arrived, ...other.arrived].filter(({ headers }) => headers['last-event-id']);
    expect(resumed.length).toBeGreaterThan(10);
    // Both have their share: whose connection broke is asked last.
    expect(Math.min(one.arrived.length, other.arrived.length)).toBeGreaterThan(10);
  });

  it('gives nothing twice even where a node does, and never goes back', async () => {
    const server = await fake();
    let requests = 0;
    server.answer = (_, response) => {
      requests += 1;
      stream(response, streamAfter('0'));
      if (requests < 3) response.end();
      else response.write('id: 11-0\nevent: delete\ndata: {"key":"k","modRevision":11}\n\n');
    };
    const client = new RaftkvClient({ endpoints: [server.url] });
    const events = await take(client.watch({ prefix: 'k', fromRevision: 1 }), changes.length + 1);
    expect(events.map(idOf)).toEqual([...changes.map(idOf), '11-0']);
    expect(server.arrived.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '10', '10']);
  });

  it('goes on when a node ends it, is not ready, or cannot be reached', async () => {
    const [ending, refusing, dead] = [await fake(), await fake(), await deadUrl()];
    ending.answer = (arrived, response) => {
      stream(response, streamAfter(positionOf(arrived)).slice(0, 400));
      const problem = { status: 503, code: 'shutting_down', detail: 'This node is shutting down.' };
      response.end(`\n\nevent: error\ndata: ${JSON.stringify(problem)}\n\n`);
    };
    refusing.answer = (_, response) => sendProblem(response, 503, 'not_ready');
    const client = new RaftkvClient({ endpoints: [ending.url, refusing.url, dead] });
    const events = await take(client.watch({ prefix: 'k', fromRevision: 1 }), 8);
    expect(events.map(idOf)).toEqual(changes.slice(0, 8).map(idOf));
    expect(ending.arrived.length).toBeGreaterThan(1);
    expect(refusing.arrived.length).toBeGreaterThan(0);
  });

  it('waits for nodes that are not there yet, or fails at once where that was asked for', async () => {
    const url = await deadUrl();
    const impatient = new RaftkvClient({ endpoints: [url], waitForNodes: false });
    await expect(impatient.watch({ key: 'a' }).next()).rejects.toMatchObject({ code: 'unreachable' });
    const signal = AbortSignal.timeout(200);
    const patient = new RaftkvClient({ endpoints: [url] });
    await expect(patient.watch({ key: 'a', signal }).next()).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('ends with what the server refuses', async () => {
    const server = await fake();
    const client = new RaftkvClient({ endpoints: [server.url] });
    server.answer = (_, response) => sendProblem(response, 410, 'compacted');
    const begun = client.watch({ key: 'a', fromRevision: 1 }).next();
    await expect(begun).rejects.toMatchObject({ code: 'compacted', status: 410 });
    server.answer = (_, response) => {
      stream(response, progress(1));
      const problem = { status: 410, code: 'compacted', detail: 'Too slow.' };
      response.end(`event: error\ndata: ${JSON.stringify(problem)}\n\n`);
    };
    await expect(client.watch({ key: 'a' }).next()).rejects.toMatchObject({ code: 'compacted' });
    server.answer = (_, response) => sendProblem(response, 400, 'bad_request');
    await expect(client.watch({}).next()).rejects.toMatchObject({ code: 'bad_request' });
  });

  it('ends with its signal, and lets go of its connection when it is left', async () => {
    const server = await fake();
    const closed: Promise<void>[] = [];
    server.answer = (arrived, response) => {
      closed.push(new Promise((resolve) => response.once('close', resolve)));
      stream(response, streamAfter(positionOf(arrived)));
    };
    const client = new RaftkvClient({ endpoints: [server.url] });
    await take(client.watch({ prefix: 'k', fromRevision: 1 }), 3);
    await closed[0];
    const controller = new AbortController();
    const watch = client.watch({ prefix: 'k', signal: controller.signal });
    await take(watch, changes.length - 1).catch(() => {});
    const waiting = client.watch({ prefix: 'k', after: '10', signal: controller.signal }).next();
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await expect(waiting).rejects.toThrow('enough');
    await Promise.all(closed);
  });

  it('ends with an error where another cluster answers: after a rebuild, or by what its caller knows', async () => {
    const server = await fake();
    const clusters = ['c1', 'c1', 'c2', 'c1'];
    server.answer = (arrived, response) => {
      response.setHeader('Raftkv-Cluster', clusters.shift() ?? 'c1');
      stream(response, streamAfter(positionOf(arrived)));
      response.end();
    };
    const client = new RaftkvClient({ endpoints: [server.url] });
    const watch = client.watch({ prefix: 'k', fromRevision: 1 });
    await take({ [Symbol.asyncIterator]: () => ({ next: () => watch.next() }) }, changes.length);
    // The stream ended twice: the second node is of the same cluster, the third of another one.
    await expect(watch.next()).rejects.toMatchObject({ code: 'other_cluster' });
    const resumed = client.watch({ prefix: 'k', after: '3-0', cluster: 'c2' });
    await expect(resumed.next()).rejects.toMatchObject({ code: 'other_cluster' });
  });

  it('leaves a connection that is silent for a minute', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const asked: (string | undefined)[] = [];
    const client = new RaftkvClient({
      endpoints: ['http://n1'],
      fetch: async (_, { headers, signal }) => {
        asked.push(headers['Last-Event-ID']);
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            if (asked.length < 3) controller.enqueue(Buffer.from(progress(asked.length)));
            else controller.enqueue(Buffer.from(streamAfter('9')));
            signal.addEventListener('abort', () => controller.error(new Error('aborted')));
          },
        });
        return { status: 200, headers: new Headers({ 'Raftkv-Node': 'n1' }), body };
      },
    });
    const first = client.watch({ prefix: 'k' }).next();
    await vi.advanceTimersByTimeAsync(59_000);
    expect(asked).toEqual([undefined]);
    await vi.advanceTimersByTimeAsync(63_000);
    expect(asked).toEqual([undefined, '1', '2']);
    expect(await first).toMatchObject({ value: { revision: 10 } });
  });
});

describe('listAndWatch', () => {
  it('gives what is there, and then every change of it', async () => {
    const { app, node } = serve({ closeGraceMs });
    await node.opens();
    const client = new RaftkvClient({ endpoints: [`http://127.0.0.1:${await listen(app)}`] });
    await client.put('k/a', '1');
    await client.put('k/b', '1');
    await client.put('other', '1');
    const copy = new Map<string, string>();
    const types: string[] = [];
    for await (const event of client.listAndWatch({ prefix: 'k/' })) {
      types.push(event.type);
      if (event.type === 'list') {
        copy.clear();
        for (const item of event.items) copy.set(item.key, item.text);
        await client.put('k/b', '2');
        await client.delete('k/a');
      } else if (event.type === 'put') copy.set(event.key, event.item.text);
      else copy.delete(event.key);
      if (types.length === 3) break;
    }
    expect(types).toEqual(['list', 'put', 'delete']);
    expect([...copy]).toEqual([['k/b', '2']]);
    await app.close();
  });

  it('begins again with a listing where changes are not kept any more', async () => {
    const server = await fake();
    let lists = 0;
    server.answer = ({ path }, response) => {
      if (path === '/v1/watch' && lists === 1) {
        sendProblem(response, 410, 'compacted');
      } else if (path === '/v1/watch') {
        stream(response, streamAfter('9'));
      } else {
        lists += 1;
        sendJson(response, 200, { revision: lists === 1 ? 3 : 9, items: [] });
      }
    };
    const client = new RaftkvClient({ endpoints: [server.url] });
    const seen: string[] = [];
    for await (const event of client.listAndWatch({ prefix: 'k' })) {
      seen.push(`${event.type} ${event.revision}`);
      if (event.type === 'put') break;
    }
    expect(seen).toEqual(['list 3', 'list 9', 'put 10']);
  });
});
