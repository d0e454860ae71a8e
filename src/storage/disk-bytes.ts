import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** What the databases below a data directory take on disk, in bytes. Files that go meanwhile count for nothing. */
export async function diskBytesOf(
  dataDirectory: string,
  statePrefix: string,
): Promise<Readonly<Record<'log' | 'state', number>>> {
  const bytes = { log: 0, state: 0 };
  for (const name of await namesIn(dataDirectory)) {
    if (name === 'log') bytes.log += await bytesIn(join(dataDirectory, name));
    else if (name.startsWith(statePrefix)) bytes.state += await bytesIn(join(dataDirectory, name));
  }
  return bytes;
}

/** The same of the files in one directory. */
export async function bytesIn(directory: string): Promise<number> {
  const names = await namesIn(directory);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(directory, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch {
    return [];
  }
}
