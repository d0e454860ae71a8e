import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RaftkvError } from '../errors.js';

/** Who runs the cluster of a directory. */
interface Holder {
  readonly pid: number;
  /** When the process began, in ticks since the machine did; undefined where the system does not tell. */
  readonly beganAt?: string | undefined;
  /** The client URL of its first node. */
  readonly url: string;
}

/**
 * The file `dev.lock` in the data directory of a local cluster: only one program runs its nodes. A lock whose process has ended
 * counts for nothing.
 */
export class DevLock {
  private readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Throws `usage` where another program runs the cluster of this directory. */
  static take(directory: string, url: string): DevLock {
    const path = join(directory, 'dev.lock');
    const self: Holder = { pid: process.pid, beganAt: beginningOf(process.pid), url };
    for (;;) {
      try {
        writeFileSync(path, `${JSON.stringify(self)}\n`, { flag: 'wx' });
        return new DevLock(path);
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      }
      const holder = holderIn(path);
      if (holder !== undefined && isRunning(holder)) {
        throw new RaftkvError(
          'usage',
          `The cluster in ${directory} is running already: process ${holder.pid} runs it, and its first node is at ${holder.url}. ` +
            'Use that one, or stop it with Ctrl-C where it runs. For a second cluster give --data-dir, --base-http and ' +
            '--base-peer of its own.',
        );
      }
      rmSync(path, { force: true });
    }
  }

  release(): void {
    rmSync(this.path, { force: true });
  }
}

/** undefined where the file is gone, or was not written to its end. */
function holderIn(path: string): Holder | undefined {
  try {
    const holder: Holder = JSON.parse(readFileSync(path, 'utf8'));
    return Number.isSafeInteger(holder.pid) ? holder : undefined;
  } catch {
    return undefined;
  }
}

function isRunning({ pid, beganAt }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // A process of another user is running all the same.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  // Another process may have got the number of one that has ended.
  return beganAt === beginningOf(pid);
}

function beginningOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name of the program may hold spaces; the 20th field after it is the time.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
