import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const MEBIBYTE = 1024 * 1024;

/** A file system of its own, in memory, and another program that takes its room. */
export class SmallDisk {
  private constructor(readonly path: string) {}

  /** Whether this machine lets such disks be made: root can mount them on Linux, except in some containers. */
  static get areAllowed(): boolean {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
    const path = mkdtempSync(join(tmpdir(), 'raftkv-disk-'));
    try {
      SmallDisk.mount(path, 1).unmount();
      return true;
    } catch {
      return false;
    } finally {
      rmSync(path, { recursive: true });
    }
  }

  /** Makes the directory too. */
  static mount(path: string, mebibytes: number): SmallDisk {
    mkdirSync(path, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path], { stdio: 'ignore' });
    return new SmallDisk(path);
  }

  get free(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Takes all room but so many bytes. */
  fill(leftBytes = 0): void {
    const file = openSync(this.filler, 'a');
    const piece = Buffer.alloc(MEBIBYTE);
    try {
      for (let left = this.free - leftBytes; left > 0; left = this.free - leftBytes) {
        writeSync(file, piece, 0, Math.min(left, piece.length));
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(file);
    }
  }

  release(): void {
    rmSync(this.filler, { force: true });
  }

  /** No file may be open for writing when it becomes read-only. */
  remount(mode: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${mode}`, this.path], { stdio: 'ignore' });
  }

  unmount(): void {
    execFileSync('umount', [this.path]);
  }

  private get filler(): string {
    return join(this.path, 'filler');
  }
}
