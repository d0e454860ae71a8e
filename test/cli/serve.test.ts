import { describe, expect, it } from 'vitest';
import type { ServedNode } from '../../src/cli/serve.js';
import type { ServerConfig } from '../../src/config.js';
import { RaftkvError } from '../../src/errors.js';
import { run } from './kit.js';

const parameters = ['serve', '--id', 'n1', '--data-dir', 'd', '--single'];

function fakeNode(): { node: ServedNode; stops: () => number; finish: (code: number) => void } {
  let finish = (_code: number): void => {};
  let stops = 0;
  const stopped = new Promise<number>((resolve) => {
    finish = resolve;
  });
  const stop = async (): Promise<void> => {
    stops++;
  };
  return { node: { stopped, stop }, stops: () => stops, finish };
}

describe('serve', () => {
  it('starts a node with what was given, stops it at a signal and exits with 0', async () => {
    const { node, stops } = fakeNode();
    let config: ServerConfig | undefined;
    const ran = run(parameters, {
      environment: { RAFTKV_HTTP: '127.0.0.1:9000' },
      start: async (given) => {
        config = given;
        setImmediate(() => process.emit('SIGTERM', 'SIGTERM'));
        return node;
      },
    });
    expect(await ran).toMatchObject({ code: 0, errors: '' });
    expect(stops()).toBe(1);
    expect(config).toMatchObject({ id: 'n1', http: { port: 9000 }, firstStart: { kind: 'single' } });
    expect(process.listenerCount('SIGTERM')).toBe(0);
  });

  it.each([
    [false, 'SIGTERM arrived.'],
    [true, 'SIGHUP arrived.'],
  ])('stops at SIGHUP only where it has a terminal: %s', async (terminal, expected) => {
    let reason: string | undefined;
    const stopped = new Promise<number>(() => {});
    const stop = async (given: string): Promise<void> => {
      reason = given;
    };
    const start = async () => {
      setImmediate(() => {
        process.emit('SIGHUP', 'SIGHUP');
        process.emit('SIGTERM', 'SIGTERM');
      });
      return { stopped, stop };
    };
    expect(await run(parameters, { terminal, start })).toMatchObject({ code: 0 });
    expect(reason).toBe(expected);
  });

  it.each(['while it starts', 'before anything is loaded'])(
    'stops at a signal that arrives %s',
    async (when) => {
      const calls: string[] = [];
      const isEarly = when !== 'while it starts';
      const ran = await run(parameters, {
        earlySignals: isEarly ? ['SIGHUP', 'SIGTERM'] : [],
        start: async (_, stopping) => {
          calls.push(`start, told: ${stopping.aborted}`);
          process.emit('SIGTERM', 'SIGTERM');
          calls.push(`told: ${stopping.aborted}`);
          const stop = async (reason: string): Promise<void> => {
            calls.push(`stop: ${reason}`);
          };
          return { stopped: new Promise<number>(() => {}), stop };
        },
      });
      expect(ran).toMatchObject({ code: 0, errors: '' });
      expect(calls).toEqual([`start, told: ${isEarly}`, 'told: true', 'stop: SIGTERM arrived.']);
      expect(process.listenerCount('SIGTERM')).toBe(0);
    },
  );

  it('exits with the code of a node that stops by itself', async () => {
    const { node, stops, finish } = fakeNode();
    setImmediate(() => finish(1));
    expect((await run(parameters, { start: async () => node })).code).toBe(1);
    expect(stops()).toBe(0);
  });

  it('exits at once at a second signal', async () => {
    const never = { stopped: new Promise<number>(() => {}), stop: () => new Promise<void>(() => {}) };
    let exited = (): void => {};
    const exit = new Promise<void>((resolve) => {
      exited = resolve;
    });
    const codes: number[] = [];
    const { addServe } = await import('../../src/cli/serve.js');
    const { Command } = await import('commander');
    const { stdin, stdout, stderr } = process;
    const program = new Command();
    const record = (code: number): void => {
      codes.push(code);
      exited();
    };
    addServe(program, { stdin, stdout, stderr, environment: {}, exit: record }, async () => never);
    void program.parseAsync(parameters, { from: 'user' });
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.emit('SIGINT', 'SIGINT');
    // The same key press, passed on by npm, does not count.
    process.emit('SIGINT', 'SIGINT');
    expect(codes).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 600));
    process.emit('SIGTERM', 'SIGTERM');
    await exit;
    expect(codes).toEqual([143]);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.removeAllListeners(signal);
  });

  it.each([
    ['usage', 2],
    ['address_in_use', 1],
    ['storage_damaged', 1],
  ] as const)(
    'explains a start that failed with %s in one line and exits with %i',
    async (code, exitCode) => {
      const ran = await run(parameters, {
        start: async () => {
          throw new RaftkvError(code, 'What is wrong; what to do.');
        },
      });
      expect(ran).toEqual({ code: exitCode, output: '', errors: 'raftkv: What is wrong; what to do.\n' });
    },
  );
});
