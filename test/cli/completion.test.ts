import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from './kit.js';

async function script(shell: string): Promise<string> {
  const { code, output } = await run(['completion', shell]);
  expect(code).toBe(0);
  return Buffer.from(output, 'latin1').toString('utf8');
}

const has = (shell: string) => spawnSync(shell, ['-c', 'true']).status === 0;

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish'])('for %s knows every command and its options', async (shell) => {
    const text = await script(shell);
    for (const word of ['put', 'completion', 'promote', 'grant', 'if-absent', 'endpoints', 'shrink']) {
      expect(text).toContain(word);
    }
  });

  for (const shell of ['bash', 'zsh', 'fish']) {
    const title = `for ${shell} is a script that it reads`;
    if (!has(shell)) {
      it.skip(`${title} (${shell} is not installed here)`, () => {});
      continue;
    }
    it(title, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'raftkv-completion-'));
      const file = join(directory, 'script');
      await writeFile(file, await script(shell));
      const { status, stderr } = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
      await rm(directory, { recursive: true });
      expect([status, stderr]).toEqual([0, '']);
    });
  }

  const completions: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['a command', ['member', 'pro'], ['promote']],
    ['an option', ['put', '--i'], ['--if-revision', '--if-absent']],
    ['an option of a command below another', ['lease', 'keepalive', '--t'], ['--ttl', '--timeout']],
    ['nothing where an option takes a value', ['put', '--file', ''], []],
  ];
  for (const [what, words, expected] of completions) {
    const title = `completes ${what} in bash`;
    if (!has('bash')) {
      it.skip(`${title} (bash is not installed here)`, () => {});
      continue;
    }
    it(title, async () => {
      const quoted = ['raftkv', ...words].map((word) => `'${word}'`).join(' ');
      const asked = `${await script('bash')}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _raftkv; echo "\${COMPREPLY[@]}"`;
      const { stdout } = spawnSync('bash', ['-c', asked], { encoding: 'utf8' });
      expect(stdout.trim().split(' ').filter(Boolean)).toEqual(expected);
    });
  }

  it('exits with 2 for a shell that it does not know', async () => {
    expect(await run(['completion', 'cmd'])).toMatchObject({ code: 2, output: '' });
  });
});
