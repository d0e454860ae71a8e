import { RaftkvClientError } from './errors.js';
import { nowMs } from './timing.js';

/** How long redirects are not tried after one led to where this client cannot go. */
const redirectsRestMs = 60_000;

/** The nodes that a client knows: who to ask first, and whether the leader can be reached under the name that nodes give. */
export class Endpoints {
  /** As they were given. */
  private readonly given: readonly string[];
  private learned: readonly string[] = [];
  /** The one that answered last comes first. */
  private order: readonly string[];
  private leader: string | undefined;
  private redirectsRestUntilMs = Number.NEGATIVE_INFINITY;
  private readonly followsRedirects: boolean;

  /** @throws RaftkvClientError `bad_request` for what is no URL of a node. */
  constructor(endpoints: readonly string[], redirects: 'follow' | 'never') {
    if (endpoints.length === 0) {
      throw new RaftkvClientError('bad_request', 'No endpoint is given. Give the URL of at least one node.');
    }
    this.given = [...new Set(endpoints.map(checkEndpoint))];
    this.order = this.given;
    this.followsRedirects = redirects === 'follow';
  }

  /** Those that were given, and then those that were learned. */
  get all(): readonly string[] {
    return [...this.given, ...this.learned];
  }

  /** Takes the URLs of all members for further endpoints, in place of those that were learned before. */
  learn(urls: readonly string[]): void {
    // From encrypted connections nobody is led to ones that are not.
    const protocols = this.given.every((url) => url.startsWith('https:')) ? ['https:'] : ['http:', 'https:'];
    const usable = urls.filter((url) => URL.canParse(url) && protocols.includes(new URL(url).protocol));
    const found = usable.map((url) => url.replace(/\/+$/, '')).filter((url) => !this.given.includes(url));
    this.learned = [...new Set(found)];
    const { all } = this;
    this.order = [
      ...this.order.filter((endpoint) => all.includes(endpoint)),
      ...all.filter((endpoint) => !this.order.includes(endpoint)),
    ];
  }

  /** Whom to ask, in turn. */
  inTurn(where: 'leader' | 'anywhere'): readonly string[] {
    const { leader, order } = this;
    if (where === 'anywhere' || leader === undefined || !this.mayFollow()) return order;
    return [leader, ...order.filter((endpoint) => endpoint !== leader)];
  }

  /** The endpoint did not answer, or sent this client away; others come first now. */
  failed(endpoint: string): void {
    if (this.leader === endpoint) this.leader = undefined;
    if (this.order[0] === endpoint) this.order = [...this.order.slice(1), endpoint];
  }

  /** What `where` calls for is done there. */
  answered(endpoint: string, where: 'leader' | 'anywhere'): void {
    if (where === 'leader') this.leader = endpoint;
  }

  mayFollow(): boolean {
    return this.followsRedirects && nowMs() >= this.redirectsRestUntilMs;
  }

  /** A redirect led nowhere: outside of a container network, nodes are not known under the names that they give. */
  redirectFailed(): void {
    this.leader = undefined;
    this.redirectsRestUntilMs = nowMs() + redirectsRestMs;
  }
}

function checkEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    !['http:', 'https:'].includes(url.protocol) ||
    url.username + url.password + url.search + url.hash !== ''
  ) {
    throw new RaftkvClientError(
      'bad_request',
      `The endpoint ${JSON.stringify(text)} is not one. Give URLs such as http://127.0.0.1:8101.`,
    );
  }
  return text.replace(/\/+$/, '');
}

/** The node that a Location names; undefined where it is none that may be followed. */
export function nodeOfLocation(location: string | null, from: string): string | undefined {
  if (location === null || !URL.canParse(location)) return undefined;
  const { protocol, origin } = new URL(location);
  // From an encrypted connection nobody is led to one that is not.
  const allowed = protocol === 'https:' || (protocol === 'http:' && !from.startsWith('https:'));
  return allowed ? origin : undefined;
}
