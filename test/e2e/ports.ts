import { createServer } from 'node:net';

/**
 * Below the range from which systems choose the ports of outgoing connections, so that a port stays free while its node is
 * down; each test process begins elsewhere.
 */
const FIRST = 11_000;
const LAST = 31_999;

let next = FIRST + ((process.pid * 97) % (LAST - FIRST));

/** Ports on which nothing listens, none of them twice. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count && tries < 1000; tries += 1) {
    const port = next;
    next = next === LAST ? FIRST : next + 1;
    if (await isFree(port)) ports.push(port);
  }
  if (ports.length < count) throw new Error(`There are no ${count} free ports.`);
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}
