import type { Command } from 'commander';
import {
  type EndpointStatus,
  type MemberStatus,
  NotReachableError,
  type RaftkvClient,
  RaftkvClientError,
} from '../client/index.js';
import { type ClientFlags, clientAt, clientOf, withClientFlags } from './client-command.js';
import { printLine, showText, type Terminal, table } from './terminal.js';

/** What one node says, or what is known of it while it says nothing. */
interface NodeRow {
  /** undefined where nobody knows who should be there. */
  readonly id: string | undefined;
  /** '' where the cluster does not know its client URL. */
  readonly endpoint: string;
  readonly answer: EndpointStatus | undefined;
}

export function addStatus(program: Command, terminal: Terminal): void {
  const command = program
    .command('status')
    .summary('what every node says of itself')
    .description(
      'what every node says of itself: those of --endpoints, and all other members of their cluster',
    );
  withClientFlags(command, 'raftkv status --endpoints http://127.0.0.1:8101,http://127.0.0.1:8102').action(
    async (flags: ClientFlags) => {
      const client = clientOf(flags, terminal);
      const [answers, members] = await Promise.all([client.statuses(), membersOf(client)]);
      if (answers.every(({ status }) => status === undefined)) {
        throw new NotReachableError(
          answers.map((answer) => ({ endpoint: answer.endpoint, reason: reasonOf(answer) })),
        );
      }
      const rows = await rowsOf(answers, members, flags.timeout);
      printLine(
        terminal,
        flags.json === true ? JSON.stringify({ nodes: rows.map(forPrograms) }) : forPeople(rows),
      );
    },
  );
}

/** None where no member tells: the status of the endpoints is of use without it. */
async function membersOf(client: RaftkvClient): Promise<readonly MemberStatus[]> {
  try {
    return await client.members();
  } catch (error) {
    if (error instanceof RaftkvClientError) return [];
    throw error;
  }
}

/** The endpoints, and then the members that none of them is. */
async function rowsOf(
  answers: readonly EndpointStatus[],
  members: readonly MemberStatus[],
  timeoutMs: number,
): Promise<readonly NodeRow[]> {
  const idAt = (endpoint: string) => members.find(({ client }) => client === endpoint)?.id;
  const asked: readonly NodeRow[] = answers.map((answer) => {
    const { endpoint, status } = answer;
    return { id: status?.id ?? idAt(endpoint), endpoint, answer };
  });
  const others = members.filter(({ id }) => asked.every((row) => row.id !== id));
  const further = others.map(async ({ id, client }): Promise<NodeRow> => {
    if (client === '') return { id, endpoint: '', answer: undefined };
    const [answer] = await clientAt([client], timeoutMs).statuses();
    return { id, endpoint: client, answer };
  });
  return [...asked, ...(await Promise.all(further))];
}

/** Why there is no status; '' where there is one. */
function reasonOf(answer: EndpointStatus | undefined): string {
  if (answer === undefined) return 'its client URL is not known: it has not started yet';
  if (answer.status !== undefined) return '';
  const { error } = answer;
  return error instanceof NotReachableError ? (error.failures[0]?.reason ?? '') : error.message;
}

function forPrograms({ id, endpoint, answer }: NodeRow): Readonly<Record<string, unknown>> {
  const status = answer?.status;
  return status === undefined ? { endpoint, id, error: reasonOf(answer) } : { endpoint, ...status };
}

function forPeople(rows: readonly NodeRow[]): string {
  const lines = rows.map(({ id = '?', endpoint, answer }) => {
    const status = answer?.status;
    return status === undefined
      ? [id, `unreachable: ${reasonOf(answer)}`, '', '', '', '', endpoint]
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
  const warnings = rows.flatMap(({ answer }) =>
    (answer?.status?.warnings ?? []).map((warning) => `${answer?.status?.id}: ${warning}`),
  );
  const shown = table(['ID', 'ROLE', 'TERM', 'LEADER', 'REVISION', 'APPLIED/COMMIT', 'URL'], lines);
  return [shown, ...(warnings.length > 0 ? ['', ...warnings.map(showText)] : [])].join('\n');
}
