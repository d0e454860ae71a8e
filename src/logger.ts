import { type DestinationStream, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import type { ServerConfig } from './config.js';
import type { NodeId } from './raft/types.js';

/** What the rest of the program logs to: pino's logger, with this node's id on every line. */
export type Logger = PinoLogger;

/**
 * Makes the logger of a node: one JSON object a line on standard output, with the time in ISO 8601. Lines are written
 * at once, so that the last words of a process that stops are not lost.
 */
export function createLogger(
  id: NodeId,
  level: ServerConfig['logLevel'],
  destination?: DestinationStream,
): Logger {
  const options = {
    level,
    base: { node: id },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}
