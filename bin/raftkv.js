#!/usr/bin/env node
// This file keeps to what Node 10 can read, so that an old Node says what is missing and not where it cannot parse.
const [major, minor] = process.versions.node.split('.').map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  console.error(
    `raftkv needs Node 20.19 or newer, and this is Node ${process.versions.node}. ` +
      'Install a newer one: https://nodejs.org/en/download',
  );
  process.exit(2);
}

// Without a listener, this signal opens a debugger to which every local user can connect.
process.on('SIGUSR1', () => {});

import('../dist/cli/main.js').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/main\.js' imported/.test(error.message)) throw error;
  console.error('raftkv is not built yet: run `npm run build` (or `npm ci`, which builds it) and try again.');
  process.exitCode = 2;
});
