import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DevSize } from '../../src/cli/dev-size.js';
import { run } from './kit.js';

describe('the size of a local cluster', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'raftkv-dev-size-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('is kept from when there is a cluster, and not before', () => {
    const path = join(directory, 'data');
    new DevSize(path, 5);
    expect(existsSync(join(path, 'nodes'))).toBe(false);
    new DevSize(path, 3).remember();
    new DevSize(path, 3).remember();
    expect(() => new DevSize(path, 5)).toThrow('holds a cluster of 3 nodes, not of 5');
  });

  it('is one line and no stack where the directory cannot be used', async () => {
    for (const path of ['/dev/null/data', '/dev/null']) {
      const ran = await run(['dev', '--data-dir', path]);
      expect(ran).toMatchObject({ code: 2, output: '' });
      expect(ran.errors).toMatch(
        /^raftkv: The data directory \/dev\/null\S* cannot be used: E.*--data-dir\.\n$/,
      );
    }
  });
});
