import { spawn } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { editsOf, type Mutant, plant } from './mutant.js';

/** What a copy of the source shares with the original. */
const SHARED = ['node_modules', 'package.json', 'tsconfig.json', 'vitest.config.ts', 'proto', 'test'];

/** Unit tests in a copy of the source with a planted bug. */
export class UnitTests {
  constructor(
    private readonly root: string,
    private readonly tree: string,
  ) {}

  /**
   * The name of the first test that fails with the bug; null where none does. Rejects when a test fails without the bug as well,
   * or when none of them ran.
   */
  async failsWith(mutant: Mutant): Promise<string | null> {
    await mkdir(this.tree, { recursive: true });
    await cp(join(this.root, 'src'), join(this.tree, 'src'), { recursive: true });
    for (const name of SHARED) {
      if (name === 'test') await cp(join(this.root, name), join(this.tree, name), { recursive: true });
      else await symlink(join(this.root, name), join(this.tree, name));
    }
    const { test = '' } = mutant;
    const before = await this.firstFailure(test);
    if (before !== null) throw new Error(`${test} fails without any bug: ${before}.`);
    for (const edit of editsOf(mutant)) {
      const file = join(this.tree, edit.file);
      await writeFile(file, plant(edit, await readFile(file, 'utf8')));
    }
    return this.firstFailure(test);
  }

  private async firstFailure(test: string): Promise<string | null> {
    const runner = join(this.root, 'node_modules', 'vitest', 'vitest.mjs');
    const parameters = [
      runner,
      'run',
      '--root',
      this.tree,
      '--project',
      'modules',
      '--reporter',
      'json',
      test,
    ];
    const child = spawn(process.execPath, parameters, {
      cwd: this.tree,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    await new Promise((resolve) => child.on('close', resolve));
    const report = JSON.parse(output.slice(output.indexOf('{"num'))) as {
      readonly numTotalTests: number;
      readonly testResults: readonly {
        readonly message: string;
        readonly status: string;
        readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
      }[];
    };
    if (report.numTotalTests === 0) throw new Error(`${test} has no tests.`);
    const results = report.testResults.flatMap(({ assertionResults }) => assertionResults);
    return results.find(({ status }) => status === 'failed')?.fullName ?? null;
  }
}
