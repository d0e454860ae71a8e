import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { joinOverHttp } from '../../src/node/join.js';

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(
    servers.splice(0).map((server) => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    }),
  );
});

/** The URL at which `answer` answers. */
async function endpoint(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answering(status: number, body: unknown): Promise<string> {
  return endpoint((_, response) => {
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(body));
  });
}

function join(...endpoints: readonly string[]): Promise<string> {
  return joinOverHttp({ endpoints, id: 'n4', incarnation: 'i4', peer: '127.0.0.1:7104', client: '' });
}

const unavailable = expect.objectContaining({ code: 'unavailable' });

describe('a node that asks to be added', () => {
  it('takes the id of the cluster from the first member that answers', async () => {
    const removed = await answering(503, { code: 'no_leader', detail: 'No leader.' });
    expect(await join(removed, await answering(201, { cluster: '8a51c2e9f4d70b36' }))).toBe(
      '8a51c2e9f4d70b36',
    );
  });

  it('hears a refusal by any of them', async () => {
    const refuses = await answering(409, { code: 'too_many_learners', detail: 'Too many.' });
    await expect(join(refuses, await answering(201, { cluster: 'c1' }))).rejects.toThrow(
      expect.objectContaining({ code: 'too_many_learners', message: 'Too many.' }),
    );
  });

  // The id goes to disk, into log lines and into a header of every answer.
  it.each([
    ['ends a header', 'c1\r\nSet-Cookie: a=b'],
    ['becomes a line feed in latin1', 'c1\u010d\u010aSet-Cookie: a=b'],
    ['steers a terminal', 'c1\u001b[31m'],
    ['is empty', ''],
    ['is too long', 'c'.repeat(65)],
    ['is a number', 7],
  ])('takes no id that %s, and asks the next endpoint', async (_, cluster) => {
    const nonsense = await answering(200, { cluster });
    await expect(join(nonsense)).rejects.toThrow(unavailable);
    expect(await join(nonsense, await answering(200, { cluster: 'c1' }))).toBe('c1');
  });

  it('reads no more of an answer than a member sends', async () => {
    let sent = 0;
    const endless = await endpoint((_, response) => {
      const send = (): void => {
        for (let isTaken = true; isTaken && !response.destroyed; sent += 65_536) {
          isTaken = response.write(' '.repeat(65_536));
        }
        if (!response.destroyed) response.once('drain', send);
      };
      send();
    });
    await expect(join(endless)).rejects.toThrow(unavailable);
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  it('shows what is said to it in one line, and knows no codes that are names of JavaScript', async () => {
    const refusal = join(
      await answering(400, { code: 'constructor', detail: `a\n\u001b[31m${'b'.repeat(5_000)}` }),
    );
    const error = await refusal.catch((thrown: unknown) => thrown);
    expect(error).toEqual(unavailable);
    expect((error as Error).message).toMatch(/^a\ufffd\ufffd\[31mb+…$/);
    expect((error as Error).message.length).toBeLessThan(2_100);
  });
});
