#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';

// Node 20 optimises a function only after it has run for long. A node that has just become leader runs code that it never
// ran before, and its clients wait for it: with this budget, a seventh of the default, puts per second in the first seconds
// about double, and nothing changes later. Newer versions warm up by other means and do not know the flag.
if (process.versions.node.startsWith('20.')) setFlagsFromString('--interrupt-budget=10000');

const program = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  console.error('raftkv is not built yet: run `npm run build` (or `npm ci`, which builds it) and try again.');
  process.exitCode = 2;
}
