import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** The last commit without cluster versions: what it writes and reads is cluster version 1. */
const COMMIT = '569905c0f17b29b153669aeaf44097020cf64e9d';
/** Kept between runs; `build/` is not part of the repository. */
const KEPT = join(root, 'build', `program-${COMMIT.slice(0, 7)}`);
const BUILD_TIMEOUT_MS = 240_000;

/** The earlier program, or why it cannot be had here. */
export type EarlierProgram = { readonly program: string } | { readonly reason: string };

/**
 * Builds the earlier program in a git worktree, with the libraries of this checkout. It is only compiled, not checked: that
 * was done at its time.
 */
export async function earlierProgram(): Promise<EarlierProgram> {
  const program = join(KEPT, 'bin/raftkv.js');
  if (existsSync(program)) return { program };
  try {
    await run('git', ['cat-file', '-e', `${COMMIT}^{commit}`], { cwd: root });
  } catch {
    return {
      reason:
        `The commit ${COMMIT.slice(0, 7)}, from which this test upgrades, is not in the history here. "git fetch --unshallow" brings it ` +
        'where the checkout is shallow; a tarball has no history.',
    };
  }
  const temporary = await mkdtemp(join(tmpdir(), 'raftkv-earlier-'));
  const worktree = join(temporary, 'worktree');
  try {
    await run('git', ['worktree', 'add', '--detach', worktree, COMMIT], { cwd: root });
    await symlink(join(root, 'node_modules'), join(worktree, 'node_modules'));
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const timeout = BUILD_TIMEOUT_MS;
    await run(process.execPath, [compiler, '-p', '.', '--noCheck'], { cwd: worktree, timeout });
    await keep(worktree);
  } finally {
    await rm(temporary, { recursive: true, force: true });
    await run('git', ['worktree', 'prune'], { cwd: root });
  }
  return { program };
}

/** Copies what runs; the directory appears under its name when it is whole. */
async function keep(worktree: string): Promise<void> {
  const unfinished = `${KEPT}.${process.pid}`;
  await mkdir(unfinished, { recursive: true });
  for (const name of ['bin', 'dist', 'proto', 'package.json']) {
    await cp(join(worktree, name), join(unfinished, name), { recursive: true });
  }
  await symlink(join(root, 'node_modules'), join(unfinished, 'node_modules'));
  try {
    await rename(unfinished, KEPT);
  } catch (error) {
    // Another test has built it at the same time.
    if (!existsSync(KEPT)) throw error;
    await rm(unfinished, { recursive: true, force: true });
  }
}
