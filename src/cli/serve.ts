import { type Command, Option } from 'commander';
import type { ServerConfig } from '../config.js';
import { loadServerConfig, type RawSettings } from './server-config.js';
import { type Setting, type SettingName, settingNames, settings } from './settings.js';
import { onStopSignals } from './signals.js';
import type { Terminal } from './terminal.js';

/** What this command needs of a running node; `server.ts` gives more. */
export interface ServedNode {
  /** Resolves with the exit code when the node has stopped by itself, because it could not go on. */
  readonly stopped: Promise<number>;
  /**
   * Finishes what was accepted, hands leadership over where it can, and stops.
   *
   * @param reason Completes the sentence "This node stops: …".
   */
  stop(reason: string): Promise<void>;
}

/**
 * Starts a node; replaced in tests. When `stopping` is aborted, a start that can end early does so: it still resolves with a node,
 * which may never have listened, and the caller stops that.
 */
export type StartNode = (config: ServerConfig, stopping: AbortSignal) => Promise<ServedNode>;

/** The exit code of a process that was told a second time to stop: 128 + SIGTERM, as shells count. */
const forcedExitCode = 143;

export function addServe(program: Command, terminal: Terminal, start: StartNode): void {
  const command = program.command('serve').description('run one node');
  for (const name of settingNames) command.addOption(optionOf(name));
  command.action(async () => {
    terminal.exit(
      await withStopOrder(terminal, async (stopping) => {
        const config = await loadServerConfig(flagsOf(command), terminal.environment);
        const node = await start(config, stopping);
        if (process.connected && !stopping.aborted) process.send?.(listeningMessage);
        return await untilStopped(node, stopping);
      }),
    );
  });
}

/** A node says so over that channel once its addresses are its own. */
export const listeningMessage = 'listening';

/** The default importer of the server: client commands need not load gRPC and LevelDB. */
export const startServerOnDemand: StartNode = async (config, stopping) => {
  const { startServer } = await import('../server.js');
  return startServer(config, stopping);
};

/** The command line's form of a setting. */
export function optionOf(name: SettingName): Option {
  const setting: Setting = settings[name];
  const placeholder = setting.placeholder === undefined ? '' : ` <${setting.placeholder}>`;
  // Some are an empty list.
  const fallback = setting.default ? ` (default: ${setting.default})` : '';
  // Defaults stay with the configuration: to commander, a flag that was not given must be distinguishable.
  return new Option(`--${name}${placeholder}`, setting.description + fallback);
}

function flagsOf(command: Command): RawSettings {
  const given: Partial<Record<SettingName, string>> = {};
  for (const option of command.options) {
    const name = settingNames.find((candidate) => option.long === `--${candidate}`);
    const value: unknown = command.getOptionValue(option.attributeName());
    if (name !== undefined && value !== undefined) given[name] = String(value);
  }
  return given;
}

/**
 * Runs `task` with a signal that is aborted when this process is told to stop, even while the node starts. The reason is a string
 * that completes the sentence "This node stops: …".
 */
async function withStopOrder<Value>(
  terminal: Terminal,
  task: (stopping: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const order = new AbortController();
  const ignoreSignals = onStopSignals(
    terminal,
    (signal) => order.abort(`${signal} arrived.`),
    () => terminal.exit(forcedExitCode),
  );
  // `raftkv dev` starts nodes with a channel to itself. When it is gone, its nodes must not hold on to their ports.
  const onDisconnect = (): void => order.abort('the program that started it is gone.');
  process.once('disconnect', onDisconnect);
  // It may have gone before anybody listened; without a channel, this is undefined.
  if (process.connected === false) onDisconnect();
  try {
    return await task(order.signal);
  } finally {
    ignoreSignals();
    process.off('disconnect', onDisconnect);
  }
}

/** Resolves with the exit code, when the node has stopped by itself or in good order after it was told to. */
async function untilStopped(node: ServedNode, stopping: AbortSignal): Promise<number> {
  const told = new Promise<void>((resolve) => {
    if (stopping.aborted) resolve();
    else stopping.addEventListener('abort', () => resolve());
  });
  return await Promise.race([
    node.stopped,
    told.then(() => node.stop(String(stopping.reason))).then(() => 0),
  ]);
}
