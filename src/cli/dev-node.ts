import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NodeStatus } from '../client/index.js';
import { after, signalAfter } from '../clock.js';
import { clientAt } from './client-command.js';
import { nodeFetch } from './node-fetch.js';
import { listeningMessage } from './serve.js';

export interface DevNodeOptions {
  readonly id: string;
  readonly dataDirectory: string;
  readonly logFile: string;
  readonly httpPort: number;
  readonly peerPort: number;
  readonly initialCluster: string;
  readonly secretFile: string;
  /** Of `serve`, the same for all nodes. */
  readonly furtherFlags: readonly string[];
}

const program = fileURLToPath(new URL('../../bin/raftkv.js', import.meta.url));
/**
 * For Node itself; the image and the benchmark start a node with the same. Entries live for seconds in the log, so they all
 * leave the young generation, and a small old one would be collected over and over: 256 MiB to begin with save about 15 %
 * of the processor time of a put.
 */
export const nodeFlags: readonly string[] = ['--initial-old-space-size=256'];
const pollTimeoutMs = 1_000;
/** A node that has not stopped by then is killed. */
const stopTimeoutMs = 15_000;

/** One node of a local cluster, as a process of its own. */
export class DevNode {
  readonly id: string;
  readonly httpUrl: string;
  readonly logFile: string;
  /** Whether it said so when it was last asked. */
  ready = false;
  /** What it last said of itself; undefined while it does not answer. */
  status: NodeStatus | undefined;
  /** How its process ended, in words; undefined while it runs. */
  exited: string | undefined;
  private readonly parameters: readonly string[];
  private child: ChildProcess | undefined;
  /** Whether the process has said that its addresses are its own. */
  private isListening = false;
  /** Where this run's part of the log file begins. */
  private logStart = 0;

  constructor(options: DevNodeOptions) {
    const { id, dataDirectory, logFile, httpPort, peerPort, initialCluster, secretFile, furtherFlags } =
      options;
    this.id = id;
    this.httpUrl = `http://127.0.0.1:${httpPort}`;
    this.logFile = logFile;
    this.parameters = [
      ['serve', '--id', id, '--data-dir', dataDirectory],
      ['--http', `127.0.0.1:${httpPort}`, '--peer', `127.0.0.1:${peerPort}`],
      ['--initial-cluster', initialCluster, '--cluster-secret-file', secretFile],
      furtherFlags,
    ].flat();
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  start(): void {
    const log = openSync(this.logFile, 'a');
    this.logStart = fstatSync(log).size;
    const child = spawn(process.execPath, [...nodeFlags, program, ...this.parameters], {
      // In a process group of its own, so that the terminal's Ctrl-C reaches this program alone, which stops the nodes in
      // good order; over the channel they notice when it is gone without having done so.
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
      env: withoutSettings(process.env),
    });
    closeSync(log);
    this.child = child;
    child.on('message', (message) => {
      if (message === listeningMessage) this.isListening = true;
    });
    child.on('error', (error) => {
      this.exited = error.message;
    });
    child.on('exit', (code, signal) => {
      this.exited = signal ?? `exit code ${code}`;
      this.ready = false;
    });
  }

  /**
   * Asks the node how it is.
   *
   * @param cluster The cluster that it belongs to; undefined while that is not known.
   */
  async refresh(cluster: string | undefined): Promise<void> {
    const status = await this.whoAnswers();
    // Somebody else's node may listen there, while this one could not; and a user may have started this one again.
    const isOurs = this.exited === undefined ? this.isListening : status?.cluster === cluster;
    this.status = isOurs && status?.id === this.id ? status : undefined;
    // Without a leader it cannot be ready, and a starting process has better things to do than to say so.
    this.ready = this.status !== undefined && this.status.leader !== null && (await this.askReady());
  }

  /** The status of whatever node answers at this node's URL. */
  async whoAnswers(): Promise<NodeStatus | undefined> {
    const [answer] = await clientAt([this.httpUrl], pollTimeoutMs).statuses();
    return answer?.status;
  }

  /** The line that says why the process ended, as far as its log tells. */
  lastWords(): string {
    const written = readFileSync(this.logFile).subarray(this.logStart).toString('utf8').trim();
    const lines = written.split('\n');
    const explained = lines.findLast((line) => line.startsWith('raftkv: '));
    // The node names its own flags; those of this command are others.
    const inWordsOfDev = explained
      ?.slice('raftkv: '.length)
      .replace(/ address with --(http|peer)\b/, ' port with --base-$1');
    return inWordsOfDev ?? (lines.at(-1) || `${this.exited}, and nothing in its log`);
  }

  restartLine(): string {
    return ['node', relative(process.cwd(), program), ...this.parameters].join(' ');
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child === undefined || this.exited !== undefined) return;
    await new Promise<void>((resolve) => {
      const timer = after(stopTimeoutMs, () => child.kill('SIGKILL'));
      child.once('exit', () => {
        timer.cancel();
        resolve();
      });
      child.kill('SIGTERM');
    });
  }

  kill(): void {
    this.child?.kill('SIGKILL');
  }

  private async askReady(): Promise<boolean> {
    try {
      const signal = signalAfter(pollTimeoutMs);
      const init = { method: 'GET', headers: {}, signal, redirect: 'manual' } as const;
      const { status, body } = await nodeFetch(`${this.httpUrl}/readyz`, init);
      await body?.cancel();
      return status === 200;
    } catch {
      return false;
    }
  }
}

/** A setting in the environment is meant for one node; three would fight over it. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('RAFTKV_')));
}
