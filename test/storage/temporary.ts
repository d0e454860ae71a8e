import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs `work` with the path of a directory that is there for it alone. */
export async function withTemporaryDirectory(work: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'raftkv-test-'));
  try {
    await work(path);
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}
