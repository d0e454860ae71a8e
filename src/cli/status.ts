import type { Command } from 'commander';
import type { NodeStatus } from '../http/port.js';
import { CallError, callNode, refusalOf, UnreachableError } from './client.js';
import { type ClientFlags, clientOptions, withClientFlags } from './client-command.js';
import { printLine, type Terminal, table } from './terminal.js';

interface NodeAnswer {
  readonly endpoint: string;
  readonly status: NodeStatus | undefined;
  readonly error: string;
}

export function addStatus(program: Command, terminal: Terminal): void {
  const command = program.command('status').description('what every node says of itself');
  withClientFlags(command).action(async (flags: ClientFlags) => {
    const { endpoints, timeoutMs } = clientOptions(flags, terminal);
    const answers = await Promise.all(endpoints.map((endpoint) => askStatus(endpoint, timeoutMs)));
    if (answers.every(({ status }) => status === undefined)) {
      const reasons = answers.map(({ endpoint, error }) => `${endpoint} (${error})`).join(', ');
      throw new UnreachableError(`No node can be reached: ${reasons}. Start one, or give --endpoints.`);
    }
    printLine(
      terminal,
      flags.json === true ? JSON.stringify({ nodes: answers.map(forPrograms) }) : forPeople(answers),
    );
  });
}

/** The status of the node at `endpoint`, or why there is none. */
export async function askStatus(endpoint: string, timeoutMs: number): Promise<NodeAnswer> {
  try {
    const answer = await callNode(endpoint, timeoutMs, { method: 'GET', path: '/v1/status' });
    if (answer.status !== 200) return { endpoint, status: undefined, error: refusalOf(answer).message };
    const status: NodeStatus = JSON.parse(answer.body.toString('utf8'));
    return { endpoint, status, error: '' };
  } catch (error) {
    if (error instanceof CallError) return { endpoint, status: undefined, error: error.message };
    throw error;
  }
}

function forPrograms({ endpoint, status, error }: NodeAnswer): Readonly<Record<string, unknown>> {
  return status === undefined ? { endpoint, error } : { endpoint, ...status };
}

function forPeople(answers: readonly NodeAnswer[]): string {
  const rows = answers.map(({ endpoint, status, error }) =>
    status === undefined
      ? ['?', `unreachable: ${error}`, '', '', '', '', endpoint]
      : [
          status.id,
          status.role,
          String(status.term),
          status.leader ?? 'none',
          String(status.revision),
          `${status.appliedIndex}/${status.commitIndex}`,
          endpoint,
        ],
  );
  return table(['ID', 'ROLE', 'TERM', 'LEADER', 'REVISION', 'APPLIED/COMMIT', 'URL'], rows);
}
