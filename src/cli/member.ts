import { Buffer } from 'node:buffer';
import type { Command } from 'commander';
import type { AddMemberResult, MemberStatus } from '../http/port.js';
import { type ClientRequest, call, queryText } from './client.js';
import { type ClientFlags, clientOptions, withClientFlags } from './client-command.js';
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
  withClientFlags(add).action(async (id: string, peer: string, flags: ClientFlags & { client?: string }) => {
    const body = Buffer.from(JSON.stringify({ id, peer, client: flags.client }));
    await run(terminal, flags, { method: 'POST', path: '/v1/members', body }, (text) => {
      const { added, member }: AddMemberResult = JSON.parse(text);
      return added ? `${member.id} added as a ${member.role}` : `${member.id} is a ${member.role} already`;
    });
  });

  const remove = member
    .command('remove')
    .description('remove a member, the leader included')
    .argument('<ID>')
    .option('--force', 'even if the rest would have no live quorum');
  withClientFlags(remove).action(async (id: string, flags: ClientFlags & { force?: boolean }) => {
    const query = { force: flags.force === true ? 'true' : undefined };
    await run(terminal, flags, { method: 'DELETE', path: memberPath(id), query }, () => `${id} removed`);
  });

  withClientFlags(
    member.command('promote').description('make a learner a voter now').argument('<ID>'),
  ).action(async (id: string, flags: ClientFlags) => {
    await run(terminal, flags, { method: 'POST', path: `${memberPath(id)}/promote` }, () => `${id} promoted`);
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
    member.leader ? `${member.role}, leader` : member.role,
    member.health,
    member.matchIndex?.toString() ?? '-',
    member.lastContactMs === undefined ? '-' : `${Math.round(member.lastContactMs)} ms`,
    member.peer,
    member.client === '' ? '-' : member.client,
  ]);
  return table(['ID', 'ROLE', 'HEALTH', 'MATCH', 'CONTACT', 'PEER', 'CLIENT'], rows);
}
