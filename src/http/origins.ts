import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { parseHostAndPort } from '../addresses.js';
import { RaftkvError } from '../errors.js';
import type { MemberLocation } from './port.js';

/**
 * Who may ask, as far as browsers are concerned. A web page can send requests to any address that its visitor's machine
 * reaches, so two things are checked.
 *
 * The host: a page of `evil.example` whose name suddenly resolves to this node (DNS rebinding) is of one origin with it for the
 * browser, and would read everything. Its requests still say `Host: evil.example`. Allowed are hosts that no name server
 * decides on, and the names that the operator or the members gave.
 *
 * The origin: a page of another origin may send changes without being allowed to read the answers. Browsers say where such a
 * request comes from (`Origin`, `Sec-Fetch-Site`). Other clients send neither, and nothing is asked of them.
 */
export class Origins {
  readonly #names: ReadonlySet<string>;
  readonly #corsOrigins: ReadonlySet<string>;
  readonly #members: () => readonly MemberLocation[];
  /** Values of `Host` that were allowed a moment ago, and when that moment ends. */
  readonly #allowed = new Set<string>();
  #allowedUntilMs = 0;

  constructor({ allowedHosts, corsOrigins, members }: OriginOptions) {
    this.#names = new Set(allowedHosts.map((name) => name.toLowerCase()));
    this.#corsOrigins = new Set(corsOrigins);
    this.#members = members;
  }

  /** Whether pages of configured origins are answered in another way than everybody else. */
  get servesOthers(): boolean {
    return this.#corsOrigins.size > 0;
  }

  /** Throws `bad_request` where the request does not say one host, and `host_not_allowed` where it is not one of ours. */
  checkHost(request: IncomingMessage, target: string, nowMs: number): void {
    const { host } = request.headers;
    if (host === undefined) {
      if (request.httpVersionMajor === 1 && request.httpVersionMinor >= 1)
        throw new RaftkvError('bad_request', 'The Host header is missing, which HTTP/1.1 demands. Send it.');
    } else {
      if (hasTwoHosts(request.rawHeaders))
        throw new RaftkvError('bad_request', 'There are two Host headers. Send one.');
      if (nowMs >= this.#allowedUntilMs) {
        this.#allowed.clear();
        this.#allowedUntilMs = nowMs + rememberMs;
      }
      if (!this.#allowed.has(host)) this.#checkAuthority(host);
    }
    // The whole URL, as a proxy gets it: its host counts (RFC 9112 §3.2.2), and the header is checked all the same.
    const absolute = target.startsWith('/') ? undefined : absoluteForm.exec(target)?.[1];
    if (absolute !== undefined) this.#checkAuthority(absolute);
  }

  /**
   * The origin that may read the answer, undefined where the request does not come from a page of one. Throws
   * `origin_not_allowed` where a page of another origin wants to change something.
   */
  checkOrigin({ headers, method }: IncomingMessage): string | undefined {
    const { origin, 'sec-fetch-site': site } = headers;
    if (origin === undefined && site === undefined) return undefined;
    if (this.#isOwn(origin, site, headers.host)) return origin;
    if (method === 'GET' || method === 'HEAD') return undefined;
    throw new RaftkvError(
      'origin_not_allowed',
      `A web page ${origin === undefined ? 'of another site' : `of the origin ${shown(origin)}`} asked for this, and it may change ` +
        'nothing here. Nothing was done. If it is yours, start every node with --cors-origin and the origin of that page.',
    );
  }

  #isOwn(origin: string | undefined, site: unknown, host: string | undefined): boolean {
    // Only browsers can say so: pages cannot set this header.
    if (site === 'same-origin' || site === 'none') return true;
    if (origin === undefined) return false;
    if (host !== undefined && (origin === `http://${host}` || origin === `https://${host}`)) return true;
    return this.#corsOrigins.has(origin) || this.#members().some(({ client }) => isOriginOf(client, origin));
  }

  #checkAuthority(authority: string): void {
    const name = authorityPattern.exec(authority)?.[1]?.replace(/\.$/, '').toLowerCase();
    if (name === undefined)
      throw new RaftkvError(
        'bad_request',
        'The Host header is no host, with or without a port. Send the one of the URL.',
      );
    if (!this.#allows(name)) {
      throw new RaftkvError(
        'host_not_allowed',
        `This node does not know itself by the name ${shown(name)}, which a web page may have made up. Use its IP address or ` +
          'its advertised name, or start every node with --allowed-host and this name.',
      );
    }
    if (this.#allowed.size < rememberedMax) this.#allowed.add(authority);
  }

  #allows(name: string): boolean {
    // No name server that a stranger runs decides on these. What ends in a number is an IPv4 address to every client.
    if (!name.includes('.') || /^[\d.]+$/.test(name) || isIP(name.replace(/^\[|\]$/g, '')) !== 0) return true;
    if (name.endsWith('.localhost') || this.#names.has(name)) return true;
    return this.#members().some(
      ({ peer, client }) => hostOf(client) === name || parseHostAndPort(peer)?.host.toLowerCase() === name,
    );
  }
}

export interface OriginOptions {
  /** Names of this node, besides those that everybody may use. */
  readonly allowedHosts: readonly string[];
  /** Origins whose pages may do what any client may, such as `https://app.example.com`. */
  readonly corsOrigins: readonly string[];
  readonly members: () => readonly MemberLocation[];
}

/** Members come and go: what is allowed for their sake is looked at again after this time. */
const rememberMs = 1_000;
const rememberedMax = 64;

const authorityPattern = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{0,5})?$/i;
const absoluteForm = /^https?:\/\/([^/?#]*)/i;

function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1;
}

function hostOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}

const loopbackHosts = ['127.0.0.1', 'localhost', '[::1]'];

/** Whether the origin is that of the URL. This machine has several names for itself. */
function isOriginOf(url: string, origin: string): boolean {
  if (!URL.canParse(url)) return false;
  const own = new URL(url);
  if (own.origin === origin) return true;
  if (!loopbackHosts.includes(own.hostname)) return false;
  return loopbackHosts.some((name) => Object.assign(new URL(url), { hostname: name }).origin === origin);
}

/** A client's text within a sentence: short, and on one line. */
function shown(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
