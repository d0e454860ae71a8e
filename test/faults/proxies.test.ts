import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../e2e/wait.js';
import { PROXIES_VARIABLE, Proxies } from './proxies.js';

/** What must not come is waited for for so long. */
const SILENCE_MS = 100;

describe('proxies between two nodes', () => {
  let proxies: Proxies;
  let echo: Server;
  let client: Socket;
  let received: string;

  beforeEach(async () => {
    proxies = await Proxies.open(['a', 'b']);
    echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    echo.listen(proxies.place('b').peerPort, '127.0.0.1');
    await once(echo, 'listening');
    client = await open();
  });

  afterEach(async () => {
    client.destroy();
    echo.close();
    await proxies.close();
  });

  async function open(): Promise<Socket> {
    const leads = JSON.parse(proxies.place('a').environment[PROXIES_VARIABLE] ?? '{}') as Record<
      string,
      number
    >;
    const socket = connect({ host: '127.0.0.1', port: leads[proxies.place('b').peerPort] ?? 0 });
    received = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      received += chunk;
    });
    await once(socket, 'connect');
    return socket;
  }

  async function answers(text: string): Promise<void> {
    await until(`the answer ${text}`, () => (received.includes(text) ? true : undefined));
  }

  it('pass everything until they are told otherwise', async () => {
    client.write('hello');
    await answers('hello');
  });

  it.each([
    ['there', { from: 'a', to: 'b' }],
    ['back', { from: 'b', to: 'a' }],
  ])('hold back what goes %s while that is blocked, and nothing is lost', async (_, link) => {
    await proxies.block([link], 'silent');
    client.write('held');
    await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
    expect(received).toBe('');
    await proxies.block([], 'silent');
    await answers('held');
  });

  it('cut connections that are refused, and new ones until they are not', async () => {
    await proxies.block([{ from: 'b', to: 'a' }], 'refused');
    await once(client, 'close');
    client = await open();
    await once(client, 'close');
    await proxies.block([], 'refused');
    client = await open();
    client.write('again');
    await answers('again');
  });
});
