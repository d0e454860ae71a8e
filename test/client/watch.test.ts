import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { RaftkvClient } from '../../src/client/index.js';
import { FakeServer, problem } from './fake-cluster.js';

const servers: FakeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

const EVENTS = 30;

/** The whole stream, as lines: an event for each revision, and progress now and then. */
const lines = Array.from({ length: EVENTS }, (_, at) => {
  const item = { key: 'käse', value: `${at + 1}`, createRevision: 1, modRevision: at + 1, version: at + 1 };
  const event = {
    line: `${JSON.stringify({ type: 'put', revision: at + 1, n: 0, item })}\n`,
    revision: at + 1,
  };
  const progress = { line: `${JSON.stringify({ type: 'progress', revision: at + 1 })}\n`, revision: at + 1 };
  return at % 4 === 0 ? [event, progress, { line: '\n', revision: at + 1 }] : [event];
}).flat();

describe('a watch of the client', () => {
  it('loses and repeats nothing wherever its connections break', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(700), { maxLength: 20 }), async (cuts) => {
        const left = [...cuts];
        const server = await FakeServer.start((request, response) => {
          const seen = Number(String(request.headers['last-event-id'] ?? '0').split('-')[0]);
          const rest = Buffer.from(
            lines
              .filter(({ revision, line }) => revision > seen && line !== '')
              .map(({ line }) => line)
              .join(''),
          );
          const cut = left.shift();
          response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
          if (cut === undefined || cut >= rest.length) response.write(rest);
          else response.write(rest.subarray(0, cut), () => response.destroy());
        });
        servers.push(server);
        const client = new RaftkvClient({ endpoints: [server.url] });
        const values: number[] = [];
        for await (const { item, keyText } of client.watch({ key: 'käse', fromRevision: 1 })) {
          expect(keyText).toBe('käse');
          values.push(Number(new TextDecoder().decode(item?.value)));
          if (values.length === EVENTS) break;
        }
        expect(values).toEqual(Array.from({ length: EVENTS }, (_, at) => at + 1));
        await server.stop();
      }),
      { numRuns: 40 },
    );
  }, 60_000);

  it('ends when what should follow is compacted, and goes on after anything else', async () => {
    const server = await FakeServer.start(
      problem(503, 'overloaded'),
      (_, response) => {
        response
          .writeHead(200)
          .end('{"type":"error","problem":{"status":503,"code":"shutting_down","detail":"x"}}\n');
      },
      problem(410, 'compacted', { compactedRevision: 9 }),
    );
    servers.push(server);
    const client = new RaftkvClient({ endpoints: [server.url] });
    await expect(client.watch({ prefix: '' }).next()).rejects.toMatchObject({ code: 'compacted' });
    expect(server.requests).toHaveLength(3);
  });
});
