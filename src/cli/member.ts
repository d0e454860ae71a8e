import type { Command } from 'commander';
import { parseMember } from '../addresses.js';
import type {
  MemberAddress,
  MemberStatus,
  MembershipChange,
  RaftkvClient,
  SetMembersResult,
} from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { type ClientFlags, checkText, clientOf, withClientFlags } from './client-command.js';
import { showPlan } from './show-plan.js';
import { printResult, type Terminal, table } from './terminal.js';

/** The options of a change that can be planned. */
interface PlanFlags extends ClientFlags {
  readonly plan?: boolean;
}

interface ForceFlags extends PlanFlags {
  readonly force?: boolean;
}

export function addMember(program: Command, terminal: Terminal): void {
  const member = program.command('member').description('the members of the cluster');

  const list = member.command('list').description('list the members');
  withClientFlags(list, 'raftkv member list').action(async (flags: ClientFlags) => {
    const members = await clientOf(flags, terminal).members();
    printResult(terminal, flags, { members }, () => memberTable(members));
  });

  const add = member
    .command('add')
    .description('add a learner; it is promoted by itself once it has caught up')
    .argument('<ID>')
    .argument('<PEER>', 'HOST:PORT of its peer address')
    .option('--client <URL>', 'its client URL');
  withPlan(add, 'raftkv member add n4 10.0.0.4:7101').action(
    async (id: string, peer: string, flags: PlanFlags & { client?: string }) => {
      const member = { id, peer, client: flags.client };
      await change(terminal, flags, { kind: 'add', member }, async (client) => {
        const result = await client.addMember(member);
        const { id, role } = result.member;
        printResult(terminal, flags, result, () =>
          result.added ? `${id} added as a ${role}` : `${id} is a ${role} already`,
        );
      });
    },
  );

  const remove = member
    .command('remove')
    .description('remove a member, the leader included')
    .argument('<ID>')
    .option('--force', 'even if the rest would have no live quorum');
  withPlan(remove, 'raftkv member remove n2').action(async (text: string, flags: ForceFlags) => {
    const id = checkText(text);
    const { force } = flags;
    await change(terminal, flags, { kind: 'remove', id, force }, async (client) => {
      printResult(terminal, flags, await client.removeMember(id, { force }), () => `${id} removed`);
    });
  });

  const promote = member.command('promote').description('make a learner a voter now').argument('<ID>');
  withPlan(promote, 'raftkv member promote n4').action(async (text: string, flags: PlanFlags) => {
    const id = checkText(text);
    await change(terminal, flags, { kind: 'promote', id }, async (client) => {
      printResult(terminal, flags, await client.promoteMember(id), () => `${id} promoted`);
    });
  });

  const set = member
    .command('set')
    .description('make these the voters, all at once, and remove all others')
    .argument('<MEMBERS>', 'ID=HOST:PORT of their peer addresses, separated by commas')
    .option('--force', 'even if they have no live quorum');
  withPlan(set, 'raftkv member set n1=10.0.0.1:7101,n4=10.0.0.4:7101,n5=10.0.0.5:7101 --plan').action(
    async (text: string, flags: ForceFlags) => {
      const members = parseMembers(text);
      const { force } = flags;
      await change(terminal, flags, { kind: 'set', members, force }, async (client) => {
        const result = await client.setMembers(members, { force });
        printResult(terminal, flags, result, () => showSet(result));
      });
    },
  );
}

export function addLeader(program: Command, terminal: Terminal): void {
  const transfer = program
    .command('leader')
    .description('the leader of the cluster')
    .command('transfer')
    .description('hand leadership over')
    .argument('[ID]', 'to this member; to the most up-to-date one unless given');
  withClientFlags(transfer, 'raftkv leader transfer n2').action(
    async (id: string | undefined, flags: ClientFlags) => {
      const result = await clientOf(flags, terminal).transferLeadership(id);
      printResult(terminal, flags, result, () => `${result.leader} leads`);
    },
  );
}

function withPlan(command: Command, example: string): Command {
  return withClientFlags(command.option('--plan', 'change nothing, and say what would happen'), example);
}

/** Makes the change by `make`, or prints the plan of it. */
async function change(
  terminal: Terminal,
  flags: PlanFlags,
  planned: MembershipChange,
  make: (client: RaftkvClient) => Promise<void>,
): Promise<void> {
  const client = clientOf(flags, terminal);
  if (flags.plan !== true) {
    await make(client);
    return;
  }
  const plan = await client.planMembers(planned);
  printResult(terminal, flags, plan, () => showPlan(plan));
}

function showSet({ voters, added, removed }: SetMembersResult): string {
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
