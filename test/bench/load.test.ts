import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { conditionalPuts } from '../../bench/conditional-puts.mjs';
import { deal, load } from '../../bench/load.mjs';
import { raftkvRequests } from '../../bench/raftkv-requests.mjs';
import { slotOf } from '../../bench/slots.mjs';

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A server that answers each request with what `answer` makes of it. */
async function serve(
  answer: (request: IncomingMessage) => { status?: number; body: string },
): Promise<string> {
  const started = createServer((request, response) => {
    const { status = 200, body } = answer(request);
    request.resume().on('end', () => response.writeHead(status).end(body));
  });
  server = started;
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(started.address() as AddressInfo).port}`;
}

const requestsOf = (count: number) =>
  Array.from({ length: count }, (_, number) => ({ method: 'GET', path: `/${number}` }));

describe('dealing requests out', () => {
  it('gives each connection its own where there are enough', () => {
    const shares = deal(requestsOf(100), 10);
    expect(shares.map((share) => share.length)).toEqual(Array(10).fill(10));
    expect(new Set(shares.flat()).size).toBe(100);
  });

  it('gives each connection several where there are too few for all, the same to some', () => {
    const shares = deal(requestsOf(10), 5);
    expect(shares.map((share) => share.length)).toEqual(Array(5).fill(4));
    expect(shares[2]).toEqual(shares[0]);
  });
});

describe('the load', () => {
  it('writes another text into the slot of each request', async () => {
    const seen: string[] = [];
    const url = await serve((request) => {
      seen.push(`${request.url} ${request.headers['x-number']}`);
      return { body: '' };
    });
    let number = 0;
    const slot = { length: 8, text: () => String(number++).padStart(8, '0') };
    const share = ['/one', '/two'].map((path) => ({
      method: 'GET',
      path,
      headers: { 'X-Number': slotOf(8) },
      slot,
    }));
    const { failures } = await load({ url, shares: [share], seconds: 0.2 });
    expect(failures).toBe(0);
    expect(seen.slice(0, 4)).toEqual(['/one 00000000', '/two 00000001', '/one 00000002', '/two 00000003']);
  });

  it('counts an answer that is not what it should be as a failure', async () => {
    const url = await serve(({ url: path }) => ({ body: path === '/0' ? 'yes' : 'no' }));
    const isExpected = (body: string) => body === 'yes';
    const of = (count: number) => load({ url, shares: [requestsOf(count)], seconds: 0.2, isExpected });
    expect((await of(1)).failures).toBe(0);
    expect((await of(2)).failures).toBeGreaterThan(0);
  });

  it('names in a conditional put the revision that the last put of its key made', async () => {
    const revisions = new Map<string, string>();
    let revision = 0;
    let withCondition = 0;
    const url = await serve(({ url: path = '', headers }) => {
      const condition = headers['if-match'];
      if (condition !== undefined) {
        withCondition += 1;
        if (condition !== revisions.get(path)) return { status: 412, body: '{}' };
      }
      revision += 1;
      revisions.set(path, `"${revision}"`);
      return { body: JSON.stringify({ key: path, revision, created: false }) };
    });
    const keys = 16;
    const shares = await conditionalPuts(url, keys, raftkvRequests.conditionalPut);
    // However slow the machine is, each key has its turn more than once.
    while (withCondition <= keys) expect((await load({ url, shares, seconds: 0.5 })).failures).toBe(0);
  });
});
