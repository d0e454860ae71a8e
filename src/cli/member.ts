import { Buffer } from 'node:buffer';
import type { Command } from 'commander';
import { parseMember } from '../addresses.js';
import { RaftkvError } from '../errors.js';
import type { AddMemberResult, MemberAddress, MemberStatus, SetMembersResult } from '../http/port.js';
import { type ClientRequest, call, queryText } from './client.js';
import { type ClientFlags, clientOptions, withClientFlags } from './client-command.js';
import { showPlan } from './show-plan.js';
import { printLine, type Terminal, table } from './terminal.js';

export function addMember(program: Command, terminal: Terminal): void {
  const member = program.command('member').description('the members of the cluster');

  withClientFlags(member.command('list').description('list the members')).action(
    async (flags: ClientFlags) => {
      await run(terminal, flags, { method: 'GET', path: '/v1/members' }, (text) => {
        const { members }: { members: readonly MemberStatus[] } = JSON.parse(text);
        return memberTable(members);
      });
    },
  );

  const add = member
    .command('add')
    .description('add a learner; it is promoted by itself once it has caught up')
    .argument('<ID>')
    .argument('<PEER>', 'HOST:PORT of its peer address')
    .option('--client <URL>', 'its client URL');
  withPlan(add).action(async (id: string, peer: string, flags: PlanFlags & { client?: string }) => {
    const body = Buffer.from(JSON.stringify({ id, peer, client: flags.client }));
    await change(terminal, flags, { method: 'POST', path: '/v1/members', body }, (text) => {
      const { added, member }: AddMemberResult = JSON.parse(text);
      return added ? `${member.id} added as a ${member.role}` : `${member.id} is a ${member.role} already`;
    });
  });

  const remove = member
    .command('remove')
    .description('remove a member, the leader included')
    .argument('<ID>')
    .option('--force', 'even if the rest would have no live quorum');
  withPlan(remove).action(async (id: string, flags: ForceFlags) => {
    const query = forceQuery(flags);
    await change(terminal, flags, { method: 'DELETE', path: memberPath(id), query }, () => `${id} removed`);
  });

  const promote = member.command('promote').description('make a learner a voter now').argument('<ID>');
  withPlan(promote).action(async (id: string, flags: PlanFlags) => {
    const path = `${memberPath(id)}/promote`;
    await change(terminal, flags, { method: 'POST', path }, () => `${id} promoted`);
  });

  const set = member
    .command('set')
    .description('make these the voters, all at once, and remove all others')
    .argument('<MEMBERS>', 'ID=HOST:PORT of their peer addresses, separated by commas')
    .option('--force', 'even if they have no live quorum');
  withPlan(set).action(async (text: string, flags: ForceFlags) => {
    const body = Buffer.from(JSON.stringify({ members: parseMembers(text) }));
    const request = { method: 'PUT', path: '/v1/members', query: forceQuery(flags), body } as const;
    await change(terminal, flags, request, showSet);
  });
}

export function addLeader(program: Command, terminal: Terminal): void {
  const transfer = program
    .command('leader')
    .description('the leader of the cluster')
    .command('transfer')
    .description('hand leadership over')
    .argument('[ID]', 'to this member; to the most up-to-date one unless given');
  withClientFlags(transfer).action(async (id: string | undefined, flags: ClientFlags) => {
    const body = Buffer.from(JSON.stringify({ to: id }));
    await run(terminal, flags, { method: 'POST', path: '/v1/leader', body }, (text) => {
      const { leader }: { leader: string } = JSON.parse(text);
      return `${leader} leads`;
    });
  });
}

/** The options of a change that can be planned. */
interface PlanFlags extends ClientFlags {
  readonly plan?: boolean;
}

interface ForceFlags extends PlanFlags {
  readonly force?: boolean;
}

function withPlan(command: Command): Command {
  return withClientFlags(command.option('--plan', 'change nothing, and say what would happen'));
}

function forceQuery(flags: ForceFlags): Readonly<Record<string, string | undefined>> {
  return { force: flags.force === true ? 'true' : undefined };
}

/** Makes the change and prints the answer, or prints the plan of it. */
async function change(
  terminal: Terminal,
  flags: PlanFlags,
  request: ClientRequest,
  show: (text: string) => string,
): Promise<void> {
  if (flags.plan !== true) {
    await run(terminal, flags, request, show);
    return;
  }
  const query = { ...request.query, plan: 'true' };
  await run(terminal, flags, { ...request, query }, (text) => showPlan(JSON.parse(text)));
}

function showSet(text: string): string {
  const { voters, added, removed }: SetMembersResult = JSON.parse(text);
  const news = [
    ...(added.length > 0 ? [`new: ${added.join(', ')}`] : []),
    ...(removed.length > 0 ? [`removed: ${removed.join(', ')}`] : []),
  ];
  return `the voters are ${voters.join(', ')} (${news.length > 0 ? news.join('; ') : 'as before'})`;
}

function parseMembers(text: string): readonly MemberAddress[] {
  return text.split(',').map((part) => {
    const member = parseMember(part);
    if (member !== undefined) return member;
    throw new RaftkvError(
      'usage',
      `The part ${JSON.stringify(part)} names no member. Give ID=HOST:PORT for each, separated by commas.`,
    );
  });
}

/** Makes the request and prints the answer: as it came for programs, through `show` for people. */
async function run(
  terminal: Terminal,
  flags: ClientFlags,
  request: ClientRequest,
  show: (text: string) => string,
): Promise<void> {
  const answer = await call(clientOptions(flags, terminal), request);
  const text = answer.body.toString('utf8');
  printLine(terminal, flags.json === true ? text : show(text));
}

function memberPath(id: string): string {
  return `/v1/members/${queryText(id).replaceAll('/', '%2F')}`;
}

function memberTable(members: readonly MemberStatus[]): string {
  const rows = members.map((member) => [
    member.id,
    [member.role, member.leader ? 'leader' : [], member.leaving ? 'leaving' : []].flat().join(', '),
    member.health,
    member.matchIndex?.toString() ?? '-',
    member.lastContactMs === undefined ? '-' : `${Math.round(member.lastContactMs)} ms`,
    member.peer,
    member.client === '' ? '-' : member.client,
  ]);
  return table(['ID', 'ROLE', 'HEALTH', 'MATCH', 'CONTACT', 'PEER', 'CLIENT'], rows);
}
