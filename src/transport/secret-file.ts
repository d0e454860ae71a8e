import { readFileSync, statSync } from 'node:fs';
import { RaftkvError } from '../errors.js';
import { SECRETS_MAX, type Secrets } from './proof.js';

/** Characters of one secret. 32 hexadecimal digits are 128 bits. */
const SECRET_LENGTH_MIN = 32;
const SECRET_LENGTH_MAX = 1024;
/** A secret of fewer different characters was typed, not made at random. */
const DISTINCT_CHARACTERS_MIN = 8;
/** Far more than two secrets take. */
const FILE_BYTES_MAX = 8192;

const HOW_TO_MAKE_ONE = 'Make one with: raftkv secret FILE';

/**
 * The cluster secret as its file has it: one secret a line, two while it is rotated. The file is looked at again for
 * each connection, so that a rotation needs no restart; a connection is rare, and looking costs two system calls.
 */
export class SecretFile {
  readonly #path: string;
  #secrets: Secrets;
  #version: string;
  /** Why the file as it is now is not used, '' when it is. The secrets that it held before stay in force. */
  #problem = '';

  /** Throws a `RaftkvError` of the code `usage` where there is no such file, or none that can be used. */
  constructor(path: string) {
    this.#path = path;
    this.#version = versionOf(path);
    this.#secrets = readSecrets(path);
  }

  /** At least one. */
  get secrets(): Secrets {
    this.#refresh();
    return this.#secrets;
  }

  /** What an operator should mend, in sentences. */
  get warnings(): readonly string[] {
    this.#refresh();
    const warnings = this.#problem === '' ? [] : [`${this.#problem} The secrets read before stay in force.`];
    if (isWorldReadable(this.#path)) {
      warnings.push(
        `Every user of this machine can read the cluster secret in ${this.#path}: chmod o-rwx that file.`,
      );
    }
    return warnings;
  }

  #refresh(): void {
    try {
      const version = versionOf(this.#path);
      if (version === this.#version) return;
      this.#secrets = readSecrets(this.#path);
      this.#version = version;
      this.#problem = '';
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
    }
  }
}

/** Changes whenever the file does. */
function versionOf(path: string): string {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? 'missing' : `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
}

function isWorldReadable(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  return process.platform !== 'win32' && stats !== undefined && (stats.mode & 0o004) !== 0;
}

function readSecrets(path: string): Secrets {
  let text: string;
  try {
    const stats = statSync(path);
    // Reading a pipe waits for whoever writes to it, and the node would wait along.
    if (!stats.isFile()) throw unusable(`${path} is no regular file. ${HOW_TO_MAKE_ONE}.`);
    if (stats.size > FILE_BYTES_MAX) {
      throw unusable(
        `${path} is too large for a file of cluster secrets; it holds one secret a line, at most two.`,
      );
    }
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof RaftkvError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw unusable(`The cluster secret cannot be read from ${path} (${code}). ${HOW_TO_MAKE_ONE}.`);
  }
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (lines.length === 0) throw unusable(`${path} holds no cluster secret. ${HOW_TO_MAKE_ONE}.`);
  if (lines.length > SECRETS_MAX) {
    throw unusable(
      `${path} holds ${lines.length} cluster secrets; it may hold two, the new one and the one that it replaces.`,
    );
  }
  for (const [number, line] of lines.entries()) {
    const problem = weakness(line);
    if (problem !== '') {
      throw unusable(`The cluster secret in line ${number + 1} of ${path} ${problem}. ${HOW_TO_MAKE_ONE}.`);
    }
  }
  return lines.map((line) => Buffer.from(line));
}

function weakness(secret: string): string {
  if (secret.length < SECRET_LENGTH_MIN) {
    return `has ${secret.length} characters, and needs at least ${SECRET_LENGTH_MIN}`;
  }
  if (secret.length > SECRET_LENGTH_MAX) return `is longer than ${SECRET_LENGTH_MAX} characters`;
  if (!/^[\x21-\x7e]+$/.test(secret)) return 'has characters other than printable ASCII without spaces';
  if (new Set(secret).size < DISTINCT_CHARACTERS_MIN) {
    return `has fewer than ${DISTINCT_CHARACTERS_MIN} different characters, so it can be guessed`;
  }
  return '';
}

function unusable(message: string): RaftkvError {
  return new RaftkvError('usage', message);
}
