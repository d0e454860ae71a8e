import { clientUrl, parseHostAndPort, parseNodeId } from '../addresses.js';
import type { VersionRange } from '../cluster-version.js';
import { opaqueIdPattern } from '../config.js';
import { printable } from '../text.js';
import type { WireIdentity, WireParty } from './wire.js';

/**
 * What strings from the wire must look like. Whatever does not is nonsense and goes no further: ids stand in log lines,
 * client URLs in redirects, addresses in what this node connects to.
 */

const opaque = new RegExp(opaqueIdPattern);

/** `n1=host:port,n2=host:port`; nine members need far less. */
const INITIAL_CLUSTER_LENGTH_MAX = 8192;
/** A sentence for people. */
const DETAIL_LENGTH_MAX = 2000;
/** Milliseconds; the longest that a client may ask for. */
const TIMEOUT_MS_MAX = 3_600_000;

export function isParty(party: WireParty | null | undefined): party is WireParty {
  if (party === null || party === undefined) return false;
  const { cluster, id, incarnation } = party;
  return (
    parseNodeId(id) !== undefined && opaque.test(incarnation) && (cluster === '' || opaque.test(cluster))
  );
}

export function isIdentity(identity: WireIdentity | null): identity is WireIdentity {
  if (!isParty(identity)) return false;
  const { peerAddress, clientUrl: url, versions } = identity;
  return (
    (versions === null || isVersionRange(versions)) &&
    (peerAddress === '' || parseHostAndPort(peerAddress) !== undefined) &&
    (url === '' || clientUrl(url)?.text === url)
  );
}

function isVersionRange({ oldest, newest }: VersionRange): boolean {
  return oldest >= 1 && newest >= oldest;
}

/** Whom a call is meant for; both may be empty. */
export function isRecipient(id: string, incarnation: string): boolean {
  return (id === '' || parseNodeId(id) !== undefined) && (incarnation === '' || opaque.test(incarnation));
}

export function isInitialCluster(text: string): boolean {
  return text.length <= INITIAL_CLUSTER_LENGTH_MAX && /^[A-Za-z0-9._:=,[\]-]*$/.test(text);
}

/** What a peer says for people, as it may be shown. */
export function shownDetail(text: string): string {
  return printable(text, DETAIL_LENGTH_MAX);
}

/** How long a peer waits, within what can be meant; 0 for what is no time. */
export function boundedTimeout(timeoutMs: number): number {
  if (Number.isNaN(timeoutMs)) return 0;
  return Math.min(Math.max(timeoutMs, 0), TIMEOUT_MS_MAX);
}
