import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SecretFile } from '../../src/transport/secret-file.js';
import { run } from './kit.js';

it('makes a secret that a node takes, readable by its owner only, and never replaces one by accident', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'raftkv-secret-')), 'new', 'cluster-secret');
  expect(await run(['secret', file])).toEqual({ code: 0, output: '', errors: '' });
  const secret = readFileSync(file, 'utf8');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(new SecretFile(file).secrets.map(String)).toEqual([secret.trim()]);

  expect(await run(['secret', file])).toMatchObject({
    code: 2,
    errors: expect.stringContaining('exists already'),
  });
  expect(await run(['secret', '--keep', file])).toEqual({ code: 0, output: '', errors: '' });
  expect(readFileSync(file, 'utf8')).toBe(secret);
});

it('prints one where no file is named, and another each time', async () => {
  const [one, two] = [await run(['secret']), await run(['secret'])];
  expect(one.output).toMatch(/^[\w-]{43}\n$/);
  expect(two.output).not.toBe(one.output);
});

it('says why a file cannot be written', async () => {
  expect(await run(['secret', '/dev/null/cluster-secret'])).toMatchObject({
    code: 2,
    errors: expect.stringContaining('cannot be written'),
  });
});
