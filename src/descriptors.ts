import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** What the runtime and the databases need beside their tables. */
const RESERVED = 48;
/** LevelDB maps a thousand tables into memory without a descriptor, and keeps up to a fifth of all descriptors for more. */
const SHARE_OF_TABLES = 1 / 5;
/** At least so many connections of peers: nine members need four each, and handshakes come on top. */
const PEER_CONNECTIONS_MIN = 32;
const PEER_CONNECTIONS_MAX = 512;
const CLIENT_CONNECTIONS_MIN = 8;
/** What POSIX systems give a process where nobody says otherwise. */
const USUAL_LIMIT = 256;

/** How many file descriptors each part of a node may take. */
export interface DescriptorBudget {
  /** File descriptors that this process may have. */
  readonly limit: number;
  readonly clientConnections: number;
  readonly peerConnections: number;
}

/**
 * Divides the file descriptors of this process. Connections must leave room for files: LevelDB that cannot open one ends the
 * node, because after a failed write nobody knows what is on disk (correctness rule 30).
 */
export function descriptorBudget(limit = descriptorLimit()): DescriptorBudget {
  const share = Math.floor(limit / 8);
  const peerConnections = Math.max(PEER_CONNECTIONS_MIN, Math.min(share, PEER_CONNECTIONS_MAX));
  const clientConnections = Math.max(
    CLIENT_CONNECTIONS_MIN,
    limit - RESERVED - Math.ceil(limit * SHARE_OF_TABLES) - peerConnections,
  );
  return { limit, clientConnections, peerConnections };
}

/** RLIMIT_NOFILE, which Node raises to what the system allows; Node itself does not tell it. */
function descriptorLimit(): number {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return parseLimit(/^Max open files\s+(\S+)/m.exec(limits)?.[1]);
  } catch {
    // Another system than Linux.
  }
  try {
    return parseLimit(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim());
  } catch {
    return USUAL_LIMIT;
  }
}

function parseLimit(text: string | undefined): number {
  if (text === 'unlimited') return Number.MAX_SAFE_INTEGER;
  const limit = Number(text);
  return Number.isSafeInteger(limit) && limit > 0 ? limit : USUAL_LIMIT;
}
