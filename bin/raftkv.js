#!/usr/bin/env node
import { existsSync } from 'node:fs';

const program = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  console.error('raftkv is not built yet: run `npm run build` (or `npm ci`, which builds it) and try again.');
  process.exitCode = 2;
}
