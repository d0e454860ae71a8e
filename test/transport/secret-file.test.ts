import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SecretFile } from '../../src/transport/secret-file.js';

const OLD = 'old-0123456789abcdef0123456789abcdef';
const NEW = 'new-0123456789abcdef0123456789abcdef';

function fileWith(content: string): string {
  const path = join(mkdtempSync(join(tmpdir(), 'raftkv-secret-')), 'cluster-secret');
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

describe('a file of cluster secrets', () => {
  test.each([
    ['', 'holds no cluster secret'],
    [' \n\n', 'holds no cluster secret'],
    ['too short', 'has 9 characters, and needs at least 32'],
    ['a'.repeat(40), 'fewer than 8 different characters'],
    [`${OLD} and more`, 'printable ASCII without spaces'],
    [`${OLD}\u001b[2J`, 'printable ASCII'],
    [`${OLD}\n${NEW}\n${OLD}x\n`, 'holds 3 cluster secrets'],
    [OLD.repeat(40), 'is longer than 1024 characters'],
    ['x'.repeat(10_000), 'is too large'],
  ])('with %j is refused with a sentence', (content, words) => {
    expect(() => new SecretFile(fileWith(content))).toThrow(words);
  });

  test('that is not there is refused, with what to do', () => {
    expect(() => new SecretFile('/nonexistent/secret')).toThrow(
      'cannot be read from /nonexistent/secret (ENOENT)',
    );
    expect(() => new SecretFile('/nonexistent/secret')).toThrow('raftkv secret FILE');
  });

  test('is a regular file: reading a pipe would hold up the node until somebody writes to it', () => {
    for (const path of [tmpdir(), '/dev/null']) {
      expect(() => new SecretFile(path)).toThrow('is no regular file');
    }
  });

  test('is read again when it changes, and keeps what it held when it becomes useless', () => {
    const path = fileWith(`${OLD}\n`);
    const file = new SecretFile(path);
    expect(file.secrets.map(String)).toEqual([OLD]);
    writeFileSync(path, `${NEW}\n${OLD}\n`);
    expect(file.secrets.map(String)).toEqual([NEW, OLD]);
    writeFileSync(path, 'short\n');
    expect(file.secrets.map(String)).toEqual([NEW, OLD]);
    expect(file.warnings).toEqual([expect.stringContaining('The secrets read before stay in force.')]);
    rmSync(path);
    expect(file.secrets.map(String)).toEqual([NEW, OLD]);
    expect(file.warnings).toEqual([expect.stringContaining('cannot be read')]);
    writeFileSync(path, `${NEW}\n`, { mode: 0o600 });
    expect(file.secrets.map(String)).toEqual([NEW]);
    expect(file.warnings).toEqual([]);
  });

  test('that every user can read is worth a warning', () => {
    const path = fileWith(`${OLD}\n`);
    const file = new SecretFile(path);
    expect(file.warnings).toEqual([]);
    chmodSync(path, 0o644);
    expect(file.warnings).toEqual([expect.stringContaining(`chmod o-rwx`)]);
  });
});
