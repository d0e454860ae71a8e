import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { expect } from 'vitest';
import { present } from '../../src/assert.js';
import type { ProgramRun } from './program.js';

/**
 * The start ends with this exit code and one line for people on standard error, which says all of `parts`. Returns it.
 */
export async function expectRefusal(
  run: ProgramRun,
  code: number,
  ...parts: readonly (string | RegExp)[]
): Promise<string> {
  const exit = await run.ended();
  const lines = run.errors.trimEnd().split('\n');
  expect({ ...exit, lines: lines.length }, run.errors || run.output).toEqual({
    code,
    signal: null,
    lines: 1,
  });
  const line = present(lines[0], 'There is one line.');
  expect(line).toMatch(/^raftkv: /);
  for (const part of parts) expect(line).toMatch(part);
  return line;
}

/** Every file below a directory and the hash of what it holds. */
export async function contentsOf(directory: string): Promise<ReadonlyMap<string, string>> {
  const contents = new Map<string, string>();
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const hash = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    contents.set(relative(directory, path), hash);
  }
  return contents;
}

/** Flips bits in the middle of the largest file of a store. */
export async function damage(store: string): Promise<void> {
  const files = await Promise.all(
    (await readdir(store)).map(async (name) => ({ name, bytes: await readFile(join(store, name)) })),
  );
  const [largest] = files.sort((one, two) => two.bytes.length - one.bytes.length);
  const { name, bytes } = present(largest, 'A store has files.');
  expect(bytes.length, 'there is enough in it to have a middle').toBeGreaterThan(100_000);
  const middle = Math.floor(bytes.length / 2);
  for (let at = middle; at < middle + 4; at += 1) bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  await writeFile(join(store, name), bytes);
}
