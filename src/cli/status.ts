import type { Command } from 'commander';
import { type EndpointStatus, NotReachableError } from '../client/index.js';
import { type ClientFlags, clientOf, withClientFlags } from './client-command.js';
import { printLine, type Terminal, table } from './terminal.js';

export function addStatus(program: Command, terminal: Terminal): void {
  const command = program.command('status').description('what every node says of itself');
  withClientFlags(command, 'raftkv status --endpoints http://127.0.0.1:8101,http://127.0.0.1:8102').action(
    async (flags: ClientFlags) => {
      const answers = await clientOf(flags, terminal).statuses();
      if (answers.every(({ status }) => status === undefined)) {
        throw new NotReachableError(
          answers.map((answer) => ({ endpoint: answer.endpoint, reason: reasonOf(answer) })),
        );
      }
      printLine(
        terminal,
        flags.json === true ? JSON.stringify({ nodes: answers.map(forPrograms) }) : forPeople(answers),
      );
    },
  );
}

/** Why there is no status; '' where there is one. */
function reasonOf(answer: EndpointStatus): string {
  if (answer.status !== undefined) return '';
  const { error } = answer;
  return error instanceof NotReachableError ? (error.failures[0]?.reason ?? '') : error.message;
}

function forPrograms(answer: EndpointStatus): Readonly<Record<string, unknown>> {
  const { endpoint, status } = answer;
  return status === undefined ? { endpoint, error: reasonOf(answer) } : { endpoint, ...status };
}

function forPeople(answers: readonly EndpointStatus[]): string {
  const rows = answers.map((answer) => {
    const { endpoint, status } = answer;
    return status === undefined
      ? ['?', `unreachable: ${reasonOf(answer)}`, '', '', '', '', endpoint]
      : [
          status.id,
          status.role,
          String(status.term),
          status.leader ?? 'none',
          String(status.revision),
          `${status.appliedIndex}/${status.commitIndex}`,
          endpoint,
        ];
  });
  return table(['ID', 'ROLE', 'TERM', 'LEADER', 'REVISION', 'APPLIED/COMMIT', 'URL'], rows);
}
