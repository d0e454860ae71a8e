import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * The names that this machine has for itself: its host name, and those beside it in the hosts file, which is where its full name
 * usually stands. No name server is asked: it may answer late, or be somebody else's.
 */
export function ownNames(hostsFile = '/etc/hosts', name = hostname()): readonly string[] {
  let lines: readonly string[] = [];
  try {
    lines = readFileSync(hostsFile, 'utf8').split('\n');
  } catch {
    // There is none, or it may not be read: the host name is enough.
  }
  const aliases = lines
    .map((line) => line.replace(/#.*/, '').trim().split(/\s+/).slice(1))
    .filter((names) => names.includes(name));
  return [...new Set([name, ...aliases.flat()])];
}
