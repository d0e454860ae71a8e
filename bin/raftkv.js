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

// The kernel drops a signal that process 1 of a container does not listen to, so a node listens before anything is loaded.
// `serve` acts on what came early.
const earlySignals = [];
if (process.argv[2] === 'serve') {
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(name, (signal) => earlySignals.push(signal));
}

// It says that the terminal is gone, and Node resets the signals that `nohup` has had ignored.
const hasTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
if (!hasTerminal) process.on('SIGHUP', () => {});

// Without a listener, this signal opens a debugger to which every local user can connect.
process.on('SIGUSR1', () => {});

import('../dist/cli/main.js').then(
  ({ main }) => main(earlySignals),
  (error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/main\.js' imported/.test(error.message)) throw error;
    console.error(
      'raftkv is not built yet: run `npm run build` (or `npm ci`, which builds it) and try again.',
    );
    process.exitCode = 2;
  },
);
