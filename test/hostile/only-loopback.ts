/** Addresses that a forged message may name: a node that takes one for a member's address connects to it. */
import { isIPv4 } from 'node:net';

const PORT = /:[0-9]{1,5}/g;
/** No host name is longer. */
const HOST_LENGTH_MAX = 260;
const HOST_AT_END = /[A-Za-z0-9._[\]-]*$/;

/** Whether every `host:port` in these bytes is one of this machine's loopback. Forged messages that fail this are not sent. */
export function namesOnlyLoopback(bytes: Uint8Array): boolean {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  for (const { index } of text.matchAll(PORT)) {
    const [host = ''] = HOST_AT_END.exec(text.slice(Math.max(0, index - HOST_LENGTH_MAX), index)) ?? [];
    if (host !== '' && !(isIPv4(host) && host.startsWith('127.'))) return false;
  }
  return true;
}
