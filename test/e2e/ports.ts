import { createServer, type Server } from 'node:net';

/**
 * Below the range from which systems choose the ports of outgoing connections, so that a port stays free while its node is
 * down.
 */
const FIRST = 11_000;
const LAST = 31_999;
const BLOCK_SIZE = 50;
const BLOCKS = Math.floor((LAST - FIRST + 1) / BLOCK_SIZE);

/**
 * The block that this process takes its ports from. While the process runs it listens on the block's first port, which it
 * hands out to nobody, so two processes that test at the same time never share a block: not even the port of a node that is down.
 */
let next = 0;
let end = 0;
let nextBlock = process.pid % BLOCKS;

/** Ports on which nothing listens, none of them twice, and none of another test process. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    while (next === end) await claimBlock();
    const port = next;
    next += 1;
    const server = await listen(port);
    if (server === undefined) continue;
    await new Promise((resolve) => server.close(resolve));
    ports.push(port);
  }
  return ports;
}

async function claimBlock(): Promise<void> {
  for (let tries = 0; tries < BLOCKS; tries += 1) {
    const first = FIRST + nextBlock * BLOCK_SIZE;
    nextBlock = (nextBlock + 1) % BLOCKS;
    const claim = await listen(first);
    if (claim === undefined) continue;
    claim.unref();
    [next, end] = [first + 1, first + BLOCK_SIZE];
    return;
  }
  throw new Error(`Other processes use all ports from ${FIRST} to ${LAST}.`);
}

/** undefined where somebody else listens. */
function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1' }, () => resolve(server));
  });
}
