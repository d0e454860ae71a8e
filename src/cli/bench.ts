import { constants } from 'node:os';
import { type Command, Option } from 'commander';
import { RaftkvClientError } from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { benchKeysMax, benchOperations, Load, type LoadOptions, type LoadResult } from './bench-load.js';
import { type ClientFlags, checkText, clientOf, wholeNumber, withClientFlags } from './client-command.js';
import { bar, Progress } from './progress.js';
import { onStopSignals } from './signals.js';
import { countOf, printResult, type Terminal, table } from './terminal.js';

type BenchFlags = ClientFlags & LoadOptions;

export function addBench(program: Command, terminal: Terminal): void {
  const command = program
    .command('bench')
    .summary('put the cluster under load and measure it')
    .description(
      'put the cluster under load and measure it: each client sends its next request when it has the answer to the one before. ' +
        'The keys that it puts are its own and are deleted at the end, also after Ctrl-C. Exits with 1 where requests failed',
    )
    .addOption(
      new Option('--operation <OPERATION>', 'what the clients do, each time with a key at random')
        .choices(benchOperations)
        .default('put'),
    )
    .option('--clients <N>', 'clients, each with one request in flight', wholeNumber(1, 1_000), 16)
    .option('--seconds <S>', 'for how long', wholeNumber(1, 86_400), 10)
    .option('--value-bytes <B>', 'the length of the values', wholeNumber(0, 16_777_216), 256)
    .option('--keys <K>', 'how many keys there are', wholeNumber(1, benchKeysMax), 1_000)
    .option('--prefix <PREFIX>', 'where the keys are', 'bench/');
  withClientFlags(
    command,
    'raftkv bench',
    'raftkv bench --operation get --clients 64 --seconds 30 --json',
  ).action(async (flags: BenchFlags) => {
    checkText(flags.prefix);
    // Like a program that uses the library: a request goes to the leader itself, where that can be reached.
    const load = new Load(clientOf(flags, terminal, 'follow'), flags);
    let exitCode: number | undefined;
    const letGo = onStopSignals(
      terminal,
      (signal) => {
        exitCode = 128 + constants.signals[signal];
        load.stop();
      },
      () => terminal.exit(exitCode ?? 1),
    );
    try {
      await perform(load, flags, terminal);
    } finally {
      letGo();
    }
    if (exitCode !== undefined) terminal.exit(exitCode);
    if (load.unreachable !== undefined) throw load.unreachable;
    if (load.failureCount > 0) {
      throw new RaftkvError(
        'unavailable',
        `${load.failureCount} of ${countOf(load.count, 'request')} failed.`,
      );
    }
  });
}

/** Measures, tells of it, and deletes the keys, whatever happens. */
async function perform(load: Load, flags: BenchFlags, terminal: Terminal): Promise<void> {
  try {
    const preparing = new Progress(
      terminal,
      (count) => `${bar(count / flags.keys)} ${countOf(count, 'key')} put`,
    );
    await load.prepare((count) => preparing.show(count)).finally(() => preparing.end());
    const running = new Progress(terminal, (count) => `${bar(load.share)} ${countOf(count, 'request')}`);
    const result = await load.run(() => running.show(load.count)).finally(() => running.end());
    const { operation, clients, valueBytes, keys } = flags;
    printResult(terminal, flags, { operation, clients, valueBytes, keys, ...result }, () =>
      show(flags, result),
    );
  } finally {
    await load.cleanUp().catch((error: unknown) => {
      throw leftBehind(error, load.root);
    });
  }
}

function leftBehind(error: unknown, root: string): unknown {
  if (!(error instanceof RaftkvClientError)) return error;
  const detail = `The keys below ${root} could not be deleted: ${error.detail} Delete them later: raftkv delete --prefix ${root}`;
  return new RaftkvClientError(error.code, detail, error.status, { ...error.problem, detail });
}

function show({ operation, clients, valueBytes, keys }: LoadOptions, result: LoadResult): string {
  const { seconds, requests, perSecond, latencyMs, failures } = result;
  const milliseconds = (value: number | undefined): string => value?.toFixed(2) ?? '-';
  const lines = [
    `${operation}: ${countOf(clients, 'client')}, ${countOf(keys, 'key')}, values of ${countOf(valueBytes, 'byte')}, ${seconds.toFixed(1)} s`,
    '',
    table(
      ['REQUESTS', 'PER SECOND', 'P50 MS', 'P90 MS', 'P99 MS', 'MAX MS'],
      [
        [
          String(requests),
          perSecond.toFixed(0),
          milliseconds(latencyMs?.p50),
          milliseconds(latencyMs?.p90),
          milliseconds(latencyMs?.p99),
          milliseconds(latencyMs?.max),
        ],
      ],
    ),
  ];
  const failed = Object.entries(failures);
  if (failed.length > 0) {
    lines.push(
      '',
      table(
        ['FAILURES', 'CODE'],
        failed.map(([code, count]) => [String(count), code]),
      ),
    );
  }
  return lines.join('\n');
}
