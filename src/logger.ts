import { type DestinationStream, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import type { ServerConfig } from './config.js';
import type { NodeId } from './raft/types.js';
import { printable } from './text.js';

/** What the rest of the program logs to: pino's logger, with this node's id on every line. */
export type Logger = PinoLogger;

/**
 * Makes the logger of a node: one JSON object a line, with the time in ISO 8601, or on a terminal the same for people.
 */
export function createLogger(
  id: NodeId,
  level: ServerConfig['logLevel'],
  destination: DestinationStream,
  reader: 'people' | 'programs' = 'programs',
): Logger {
  const options = {
    level,
    base: { node: id },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (reader === 'programs') return pino(options, destination);
  return pino(options, { write: (line) => destination.write(`${forPeople(line)}\n`) });
}

/** `14:03:05.123 info n1 The message. key=value` */
export function forPeople(line: string): string {
  const { time, level, node, msg, ...fields }: Record<string, unknown> = JSON.parse(line);
  const pairs = Object.entries(fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const clock = String(time).slice('2000-01-01T'.length, -1);
  return printable([clock, level, node, msg, ...pairs].join(' '));
}
