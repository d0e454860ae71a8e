import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { RaftkvError } from '../errors.js';
import { printLine, type Terminal } from './terminal.js';

/** 256 bits, as text. */
const SECRET_BYTES = 32;

export function addSecret(program: Command, terminal: Terminal): void {
  program
    .command('secret')
    .description('make a cluster secret, by which the members of a cluster know each other')
    .argument('[FILE]', 'where to write it, readable by its owner only; standard output unless given')
    .option('--keep', 'leave a FILE that exists as it is, instead of refusing')
    .action((file: string | undefined, flags: { readonly keep?: boolean }) => {
      if (file === undefined) {
        printLine(terminal, newSecret());
        return;
      }
      if (!createSecretFile(file) && flags.keep !== true) {
        throw new RaftkvError(
          'usage',
          `${file} exists already, and a cluster may use what it holds. Name another file, or add --keep to leave it as it is.`,
        );
      }
    });
}

/** Writes a new secret to a file that does not exist yet. False when it exists. Throws `usage` when it cannot be written. */
export function createSecretFile(file: string): boolean {
  try {
    if (existsSync(file)) return false;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${newSecret()}\n`, { mode: 0o600, flag: 'wx' });
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new RaftkvError('usage', `The cluster secret cannot be written to ${file} (${code}).`);
  }
}

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}
