import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { put } from './client.js';
import { Cluster } from './cluster.js';
import { runToEnd } from './program.js';

describe('the program', () => {
  it.each(['18.20.4', '20.18.3', '16.0.0'])(
    'on Node %s says in one sentence which it needs',
    async (version) => {
      const pretend = `Object.defineProperty(process, 'versions', { value: { node: '${version}' } })`;
      const runtimeFlags = ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`];
      const run = await runToEnd(['--version'], { runtimeFlags });
      expect([run.exit, run.output, run.errors]).toEqual([
        { code: 2, signal: null },
        '',
        `raftkv needs Node 20.19 or newer, and this is Node ${version}. Install a newer one: https://nodejs.org/en/download\n`,
      ]);
    },
  );

  it('begins with a file that Nodes without modules of JavaScript can read', () => {
    const text = readFileSync(new URL('../../bin/raftkv.js', import.meta.url), 'utf8');
    expect(text).not.toMatch(/^\s*(import|export)\s[^(]|\bawait\b|import\.meta|\?\.|\?\?|catch \{/m);
  });
});

describe('signals to a node', () => {
  let cluster: Cluster | undefined;
  afterEach(() => cluster?.remove());
  /** Has a process send itself a signal before it has loaded anything: when it begins to listen to SIGUSR1. */
  const atFirst = (signal: NodeJS.Signals): readonly string[] => {
    const send = `process.on('newListener', (name) => {
      if (name === 'SIGUSR1') process.kill(process.pid, '${signal}');
    })`;
    return ['--import', `data:text/javascript,${encodeURIComponent(send)}`];
  };

  it.each(['SIGTERM', 'SIGINT'] as const)(
    '%s before anything is loaded ends it in good order',
    async (signal) => {
      cluster = await Cluster.of(1, { runtimeFlags: atFirst(signal) });
      const run = cluster.nodes[0]?.start(cluster.founding);
      expect(await run?.ended()).toEqual({ code: 0, signal: null });
      expect(run?.errors).toBe('');
      expect(run?.output).toContain(`This node stops: ${signal} arrived.`);
    },
  );

  it('SIGHUP without a terminal before anything is loaded changes nothing', async () => {
    cluster = await Cluster.started(1, { runtimeFlags: atFirst('SIGHUP') });
    expect(await cluster.nodes[0]?.stop()).toEqual({ code: 0, signal: null });
  });

  it('SIGHUP without a terminal and SIGUSR1 change nothing, SIGTERM ends it, and the log tells from start to end', async () => {
    cluster = await Cluster.started(1);
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('There is one.');
    node.run?.signal('SIGHUP');
    node.run?.signal('SIGUSR1');
    expect((await put(node.url, 'a', 'x')).kind).toBe('done');
    expect(await node.stop()).toEqual({ code: 0, signal: null });
    expect(node.run?.errors).toBe('');
    const lines = node.log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(lines[0]).toMatchObject({
      msg: `raftkv ${version} starts.`,
      version,
      runtime: process.version,
      settings: { dataDirectory: node.dataDirectory, advertisePeer: node.peer },
    });
    expect(lines.map(({ msg }) => msg)).toContain('This node stops: SIGTERM arrived.');
    expect(lines.at(-1)?.msg).toMatch(/^Stopped in \d+ ms\.$/);
  });
});
