import { RaftkvError } from './errors.js';
import type { LogSink } from './log-sink.js';
import type { Logger } from './logger.js';
import { printable } from './text.js';

/** How long the end of a node waits for its last log lines to be written. */
export const LAST_LINES_MS = 500;

/** Says in the log and on standard error why the process ends. Resolves when the log has taken the line, or can take none. */
export async function tellFailure(error: unknown, logger: Logger, sink: LogSink): Promise<void> {
  const message = messageOf(error);
  logger.error(fieldsOf(error), stopLine(message));
  // An operator at a terminal reads it here; the log may be collected elsewhere.
  process.stderr.write(`raftkv: ${printable(message)}\n`);
  await sink.flush(LAST_LINES_MS);
}

export function stopLine(reason: string): string {
  return `This node stops: ${reason}`;
}

export function isDiskFull(error: unknown): boolean {
  return error instanceof RaftkvError && error.code === 'no_space';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a log line about `error` says apart from its message. */
export function fieldsOf(error: unknown): object {
  return error instanceof RaftkvError ? { code: error.code } : { err: error };
}
