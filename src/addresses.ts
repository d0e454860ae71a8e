import { clientUrlPattern, hostAndPortPattern, nodeIdPattern } from './config.js';

export interface HostAndPort {
  /** Without brackets. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

const nodeId = new RegExp(nodeIdPattern);
const hostAndPort = new RegExp(hostAndPortPattern);
const url = new RegExp(clientUrlPattern);

export function parseNodeId(text: string): string | undefined {
  return nodeId.test(text) ? text : undefined;
}

export function parseHostAndPort(text: string): HostAndPort | undefined {
  const match = hostAndPort.exec(text);
  const port = Number(match?.[2] ?? 0);
  if (match?.[1] === undefined || port < 1 || port > 65_535) return undefined;
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

export function showHostAndPort(address: HostAndPort): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/** Where a node listens, and where it tells others to reach it. */
export function showListening(bound: string, advertised: string): string {
  return bound === advertised ? bound : `${bound} (others reach it at ${advertised})`;
}

/** A member as people write it, `ID=HOST:PORT`. */
export function parseMember(text: string): { readonly id: string; readonly peer: string } | undefined {
  const [idText = '', addressText = '', ...rest] = text.trim().split('=');
  const id = parseNodeId(idText);
  const address = parseHostAndPort(addressText);
  if (id === undefined || address === undefined || rest.length > 0) return undefined;
  return { id, peer: showHostAndPort(address) };
}

/** A base URL of a node: `http://host:port`; a slash at the end is dropped. */
export function clientUrl(text: string): { readonly host: string; readonly text: string } | undefined {
  const trimmed = text.replace(/\/$/, '');
  const match = url.exec(trimmed);
  const port = Number(match?.[2]?.slice(1) ?? 80);
  if (match?.[1] === undefined || port < 1 || port > 65_535) return undefined;
  return { host: match[1].replace(/^\[|\]$/g, ''), text: trimmed };
}

/** An address to listen on that nobody can connect to. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}

/** An address that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host) || /^(0*:)+:?0*1$/.test(host);
}
