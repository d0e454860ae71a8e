import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from '../dist/cli/dev-node.js';
import { callAgain } from './calls.mjs';
import { etcdRequests } from './etcd-requests.mjs';
import { VALUE } from './keys.mjs';
import { deal, load } from './load.mjs';
import { plainRequests, raftkvRequests } from './raftkv-requests.mjs';

const START_TIMEOUT_MS = 20_000;
const WARM_UP_CONNECTIONS = 64;

/**
 * What is measured. Each system starts its own processes on free ports of 127.0.0.1, with data under `directory`, and
 * says how requests to it look. `stop` ends exactly the processes that it started.
 */

/** A Fastify handler that stores nothing: the ceiling of what HTTP on this machine allows. */
export async function startBareFastify(directory) {
  const [port] = await freePorts(1);
  const processes = [start(directory, 'bare', process.execPath, [path('bare-fastify.mjs'), String(port)])];
  const url = `http://127.0.0.1:${port}`;
  await until(async () => (await fetch(`${url}/v1/kv/ready`)).ok, 'the bare Fastify server');
  return {
    leaderUrl: async () => url,
    ...plainRequests,
    stop: () => end(processes),
  };
}

/**
 * Three raftkv nodes; the load goes to the leader.
 *
 * @param {string} directory where their data and logs go
 * @param {string} [root] the built checkout whose program runs; this one unless another is named
 */
export async function startRaftkv(directory, root = path('..')) {
  const ports = await freePorts(6);
  const names = ['n1', 'n2', 'n3'];
  const peers = names.map((name, number) => `${name}=127.0.0.1:${ports[number]}`).join(',');
  const startNode = (number) =>
    start(directory, names[number], process.execPath, [
      ...nodeFlags,
      join(root, 'bin/raftkv.js'),
      ...['serve', '--id', names[number], '--data-dir', join(directory, names[number])],
      ...['--initial-cluster', peers],
      ...['--peer', `127.0.0.1:${ports[number]}`, '--http', `127.0.0.1:${ports[number + 3]}`],
    ]);
  const processes = names.map((_, number) => startNode(number));
  const nodes = names.map((name, number) => ({
    name,
    url: `http://127.0.0.1:${ports[number + 3]}`,
    processId: () => processes[number].pid,
    end: (signal) => end([processes[number]], signal),
    restart: () => {
      processes[number] = startNode(number);
    },
  }));
  const findLeader = async () => {
    for (const { url } of nodes) {
      const answer = await fetch(`${url}/v1/status`).catch(() => undefined);
      const name = (await answer?.json())?.leader;
      if (name) return nodes.find((node) => node.name === name);
    }
    return null;
  };
  await until(async () => {
    const leader = await findLeader();
    return leader !== null && (await fetch(`${leader.url}/v1/kv/ready`, { method: 'PUT', body: VALUE })).ok;
  }, 'raftkv');
  const leader = () => settled(findLeader, 'raftkv');
  return {
    nodes,
    leader,
    leaderUrl: async () => (await leader()).url,
    ...raftkvRequests,
    stop: () => end(processes),
  };
}

/** Whether etcd is installed here. */
export function etcdVersion() {
  const result = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.split('\n')[0].replace('etcd Version: ', '') : null;
}

/** Three etcd nodes; the load goes to the leader. */
export async function startEtcd(directory) {
  const ports = await freePorts(6);
  const names = ['e1', 'e2', 'e3'];
  const peers = names.map((name, number) => `${name}=http://127.0.0.1:${ports[number]}`).join(',');
  const processes = names.map((name, number) => {
    const peer = `http://127.0.0.1:${ports[number]}`;
    const client = `http://127.0.0.1:${ports[number + 3]}`;
    return start(directory, name, 'etcd', [
      ...['--name', name, '--data-dir', join(directory, name), '--enable-v2', '--log-level', 'error'],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--initial-cluster', peers, '--initial-cluster-state', 'new'],
    ]);
  });
  const findLeader = async () => {
    for (const port of ports.slice(3)) {
      const stats = await (await fetch(`http://127.0.0.1:${port}/v2/stats/self`)).json();
      if (stats.state === 'StateLeader') return `http://127.0.0.1:${port}`;
    }
    return null;
  };
  await settled(findLeader, 'etcd');
  return {
    leaderUrl: () => settled(findLeader, 'etcd'),
    ...etcdRequests,
    stop: () => end(processes),
  };
}

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/**
 * Makes each request once, so that gets find their keys, and then puts for a while: what is measured is a server that has
 * been running, not how long its code takes to be compiled.
 */
export async function warmUp({ leaderUrl, put, putV3 }, seconds) {
  for (const requests of [put, putV3]) {
    if (requests === undefined) continue;
    for (const request of requests) await callAgain(leaderUrl, request);
  }
  const url = await leaderUrl();
  await load({ url, shares: deal(put, WARM_UP_CONNECTIONS), seconds });
}

function start(directory, name, command, parameters) {
  mkdirSync(directory, { recursive: true });
  const log = openSync(join(directory, `${name}.log`), 'a');
  return spawn(command, parameters, { stdio: ['ignore', log, log] });
}

async function end(processes, signal = 'SIGTERM') {
  await Promise.all(
    processes.map(
      (child) =>
        new Promise((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) return resolve();
          child.once('exit', resolve);
          child.kill(signal);
        }),
    ),
  );
}

/** Who leads, once somebody does: on a busy machine leadership may move between two measurements. */
async function settled(findLeader, what) {
  let leader = null;
  await until(async () => {
    leader = await findLeader();
    return leader !== null;
  }, what);
  return leader;
}

/** Asks until something holds. */
export async function until(condition, what, timeoutMs = START_TIMEOUT_MS) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const holds = await condition().catch(() => false);
    if (holds) return;
    if (Date.now() > deadline) throw new Error(`${what} was not there within ${timeoutMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
