import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RaftkvError } from '../errors.js';

/**
 * How many nodes the local cluster in a directory has. A cluster knows its size: more nodes than it has would wait for it in
 * vain, fewer might be no majority. So the size is written down beside the data, as soon as there is a cluster: one that
 * never came to be binds nobody.
 */
export class DevSize {
  private readonly directory: string;
  private readonly nodes: number;
  private known: boolean;

  /** Makes the directory. Throws `usage` where it cannot be used, or holds a cluster of another size. */
  constructor(directory: string, nodes: number) {
    this.directory = directory;
    this.nodes = nodes;
    const existing = this.usable(() => {
      mkdirSync(directory, { recursive: true });
      accessSync(directory, constants.W_OK);
      return this.read();
    });
    this.known = existing !== undefined;
    if (existing === undefined || existing === String(nodes)) return;
    throw new RaftkvError(
      'usage',
      `${directory} holds a cluster of ${existing} nodes, not of ${nodes}. Give --nodes ${existing}, or another ` +
        '--data-dir, or remove the directory.',
    );
  }

  /** The cluster has come to be. */
  remember(): void {
    if (this.known) return;
    this.usable(() => writeFileSync(this.path, `${this.nodes}\n`));
    this.known = true;
  }

  private get path(): string {
    return join(this.directory, 'nodes');
  }

  private read(): string | undefined {
    try {
      return readFileSync(this.path, 'utf8').trim();
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  private usable<Value>(use: () => Value): Value {
    try {
      return use();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RaftkvError(
        'usage',
        `The data directory ${this.directory} cannot be used: ${reason}. Give another one with --data-dir.`,
      );
    }
  }
}
