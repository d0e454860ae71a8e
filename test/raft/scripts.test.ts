import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { runScript } from './script-runner.js';

const directory = fileURLToPath(new URL('./scripts/', import.meta.url));
const { UPDATE_SCRIPTS } = process.env;
const isRewriting = UPDATE_SCRIPTS === '1';

/** Golden scripts: what the core says and writes, step by step. `UPDATE_SCRIPTS=1` writes down what it does now. */
describe('scripts', () => {
  for (const name of readdirSync(directory).filter((file) => !file.endsWith('.md'))) {
    it(name.replaceAll('-', ' '), () => {
      const path = `${directory}${name}`;
      const written = readFileSync(path, 'utf8');
      const actual = runScript(written);
      if (isRewriting && actual !== written) writeFileSync(path, actual);
      else expect(actual).toBe(written);
    });
  }
});
