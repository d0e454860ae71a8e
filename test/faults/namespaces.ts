import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { present } from '../../src/assert.js';
import type { FaultNetwork, Link, Manner, Place } from './network.js';
import { endProcess, isRunning } from './processes.js';

const run = promisify(execFile);

/** All names of ours begin with it; the id of the process that made them follows. */
const PREFIX = 'raftkv-faults-';
/** Inside namespaces that lead nowhere else, so that it can be in nobody's way. */
const SUBNET = '10.177.0';
const HUB_ADDRESS = `${SUBNET}.254`;
const HTTP_PORT = 8101;
const PEER_PORT = 7101;

/** Drops, or answers with a reset, what arrives from the addresses in a set. */
const RULES = `table ip faults {
  set silent { type ipv4_addr; }
  set refused { type ipv4_addr; }
  chain input {
    type filter hook input priority 0
    ip saddr @silent drop
    ip saddr @refused meta l4proto tcp reject with tcp reset
  }
}`;

/** The namespace in which the bridge is, and the clients run. */
export function hubOf(owner: number): string {
  return `${PREFIX}${owner}-hub`;
}

function nameOf(owner: number, id: string): string {
  return `${PREFIX}${owner}-${id}`;
}

/**
 * Makes a namespace for each node and one with a bridge that joins them. Nothing of the host's network is touched: both
 * ends of every link are made inside. Rejects where this process may not, or where a tool is missing.
 */
export async function makeNamespaces(owner: number, ids: readonly string[]): Promise<void> {
  const hub = hubOf(owner);
  await ip('netns', 'add', hub);
  await ip('-n', hub, 'link', 'set', 'lo', 'up');
  await ip('-n', hub, 'link', 'add', 'bridge', 'type', 'bridge');
  await ip('-n', hub, 'addr', 'add', `${HUB_ADDRESS}/24`, 'dev', 'bridge');
  await ip('-n', hub, 'link', 'set', 'bridge', 'up');
  for (const [place, id] of ids.entries()) {
    const name = nameOf(owner, id);
    await ip('netns', 'add', name);
    await ip('-n', hub, 'link', 'add', id, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    await ip('-n', hub, 'link', 'set', id, 'master', 'bridge');
    await ip('-n', hub, 'link', 'set', id, 'up');
    await ip('-n', name, 'link', 'set', 'lo', 'up');
    await ip('-n', name, 'addr', 'add', `${addressOf(place)}/24`, 'dev', 'eth0');
    await ip('-n', name, 'link', 'set', 'eth0', 'up');
    await filter(name, RULES);
  }
}

/** Ends what still runs in the namespaces that `owner` made, and removes them. */
export async function removeNamespaces(owner: number): Promise<void> {
  for (const name of await ours()) {
    if (ownerOf(name) !== owner) continue;
    for (const pid of (await ip('netns', 'pids', name)).split(/\s+/).filter(Boolean)) {
      endProcess(Number(pid));
    }
    await ip('netns', 'del', name);
  }
}

/** Removes what testers left behind that were killed themselves. */
export async function removeLeftovers(): Promise<void> {
  const owners = new Set((await ours()).map(ownerOf));
  for (const owner of owners) if (!isRunning(owner)) await removeNamespaces(owner);
}

async function ours(): Promise<readonly string[]> {
  if (!existsSync('/run/netns')) return [];
  const lines = (await ip('netns', 'list')).split('\n');
  return lines.map((line) => line.split(' ')[0] ?? '').filter((name) => name.startsWith(PREFIX));
}

function ownerOf(name: string): number {
  return Number.parseInt(name.slice(PREFIX.length), 10);
}

/** The namespaces that {@link makeNamespaces} made, seen from inside the hub. */
export class Namespaces implements FaultNetwork {
  readonly description =
    'network namespaces of their own, joined by a bridge; blocked packets are dropped or reset';

  constructor(
    private readonly owner: number,
    private readonly ids: readonly string[],
  ) {}

  place(id: string): Place {
    return {
      host: this.address(id),
      httpPort: HTTP_PORT,
      peerPort: PEER_PORT,
      launcher: ['ip', 'netns', 'exec', nameOf(this.owner, id)],
      runtimeFlags: [],
      environment: {},
    };
  }

  async block(links: readonly Link[], manner: Manner): Promise<void> {
    await Promise.all(
      this.ids.map((id) => {
        const from = links.filter((link) => link.to === id).map((link) => this.address(link.from));
        const added = from.length === 0 ? '' : `add element ip faults ${manner} { ${from.join(', ')} }\n`;
        const emptied = 'flush set ip faults silent\nflush set ip faults refused\n';
        return filter(nameOf(this.owner, id), emptied + added);
      }),
    );
  }

  /** Whoever made the namespaces removes them, so that they go even when this process is killed. */
  async close(): Promise<void> {}

  private address(id: string): string {
    const place = this.ids.indexOf(id);
    return present(place < 0 ? undefined : addressOf(place), `There is a node ${id}.`);
  }
}

function addressOf(place: number): string {
  return `${SUBNET}.${place + 1}`;
}

async function ip(...parameters: readonly string[]): Promise<string> {
  return (await run('ip', parameters)).stdout;
}

/** Gives rules to the packet filter of a namespace, all of them at once. */
function filter(name: string, rules: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('ip', ['netns', 'exec', name, 'nft', '-f', '-'], {
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let errors = '';
    child.stderr.on('data', (chunk) => {
      errors += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`nft: ${errors}`))));
    // Where there is no nft nobody reads them, and how it ended says why.
    child.stdin.on('error', () => {});
    child.stdin.end(rules);
  });
}
