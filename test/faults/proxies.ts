import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { present } from '../../src/assert.js';
import { freePorts } from '../e2e/ports.js';
import type { FaultNetwork, Link, Manner, Place } from './network.js';

const HOST = '127.0.0.1';

/** The variable that tells a node's process which of its peers' ports lead to which proxy; see `lead-to-proxies.ts`. */
export const PROXIES_VARIABLE = 'FAULTS_PROXIES';

/** One way through which the connections of one node to one other go. */
class PeerProxy {
  private readonly pairs = new Set<{ readonly near: Socket; readonly far: Socket }>();
  private isRefusing = false;
  private forth = true;
  private back = true;

  private constructor(
    private readonly server: Server,
    private readonly targetPort: number,
  ) {
    server.on('connection', (near) => this.join(near));
  }

  static async listen(port: number, targetPort: number): Promise<PeerProxy> {
    const server = createServer({ pauseOnConnect: true });
    const proxy = new PeerProxy(server, targetPort);
    server.listen(port, HOST);
    await once(server, 'listening');
    return proxy;
  }

  /** What does not pass is held back until it may again, as the system would send packets again that were lost. */
  pass(forth: boolean, back: boolean): void {
    this.isRefusing = false;
    this.forth = forth;
    this.back = back;
    for (const pair of this.pairs) this.apply(pair);
  }

  /** Cuts every connection, and new ones until something may pass again. */
  refuse(): void {
    this.isRefusing = true;
    for (const { near } of this.pairs) near.destroy();
  }

  close(): void {
    this.server.close();
    this.refuse();
  }

  private join(near: Socket): void {
    if (this.isRefusing) {
      near.destroy();
      return;
    }
    const far = connect({ port: this.targetPort, host: HOST });
    const pair = { near, far };
    this.pairs.add(pair);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.setNoDelay(true);
      one.on('data', (chunk) => {
        if (!other.write(chunk)) one.pause();
      });
      one.on('drain', () => this.apply(pair));
      one.on('end', () => other.end());
      one.on('error', () => other.destroy());
      one.on('close', () => {
        other.destroy();
        this.pairs.delete(pair);
      });
    }
    this.apply(pair);
  }

  private apply({ near, far }: { readonly near: Socket; readonly far: Socket }): void {
    if (this.forth && !far.writableNeedDrain) near.resume();
    else near.pause();
    if (this.back && !near.writableNeedDrain) far.resume();
    else far.pause();
  }
}

/** Nodes on the loopback whose connections to each other lead through proxies, one for each directed pair. */
export class Proxies implements FaultNetwork {
  readonly description =
    'one network, with a TCP proxy for each directed pair; blocked bytes are held back, or connections cut';
  private readonly proxies = new Map<
    string,
    { readonly link: Link; readonly port: number; readonly proxy: PeerProxy }
  >();

  private constructor(
    private readonly ports: ReadonlyMap<string, { readonly http: number; readonly peer: number }>,
  ) {}

  static async open(ids: readonly string[]): Promise<Proxies> {
    const ports = new Map<string, { http: number; peer: number }>();
    for (const id of ids) {
      const [http = 0, peer = 0] = await freePorts(2);
      ports.set(id, { http, peer });
    }
    const network = new Proxies(ports);
    for (const from of ids) {
      for (const to of ids) {
        if (from === to) continue;
        const [port = 0] = await freePorts(1);
        const proxy = await PeerProxy.listen(port, network.portsOf(to).peer);
        network.proxies.set(`${from} ${to}`, { link: { from, to }, port, proxy });
      }
    }
    return network;
  }

  place(id: string): Place {
    const { http, peer } = this.portsOf(id);
    const from = [...this.proxies.values()].filter(({ link }) => link.from === id);
    const leads = Object.fromEntries(from.map(({ link, port }) => [this.portsOf(link.to).peer, port]));
    return {
      host: HOST,
      httpPort: http,
      peerPort: peer,
      launcher: [],
      runtimeFlags: ['--import', new URL('./lead-to-proxies.js', import.meta.url).href],
      environment: { [PROXIES_VARIABLE]: JSON.stringify(leads) },
    };
  }

  async block(links: readonly Link[], manner: Manner): Promise<void> {
    const passes = (from: string, to: string) => !links.some((link) => link.from === from && link.to === to);
    for (const { link, proxy } of this.proxies.values()) {
      const forth = passes(link.from, link.to);
      const back = passes(link.to, link.from);
      // A connection of which one direction is refused is no connection any more.
      if (manner === 'refused' && !(forth && back)) proxy.refuse();
      else proxy.pass(forth, back);
    }
  }

  async close(): Promise<void> {
    for (const { proxy } of this.proxies.values()) proxy.close();
  }

  private portsOf(id: string) {
    return present(this.ports.get(id), `There is a node ${id}.`);
  }
}
