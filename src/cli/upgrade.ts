import type { Command } from 'commander';
import type { ClusterVersionStatus, MemberVersions } from '../client/index.js';
import { type ClientFlags, clientOf, withClientFlags } from './client-command.js';
import { printResult, type Terminal, table } from './terminal.js';

export function addUpgrade(program: Command, terminal: Terminal): void {
  const upgrade = program
    .command('upgrade')
    .description('how the cluster moves to a newer version of raftkv');

  const status = upgrade
    .command('status')
    .description('the cluster version, what each member speaks, and what is to come');
  withClientFlags(status, 'raftkv upgrade status').action(async (flags: ClientFlags) => {
    const shown = await clientOf(flags, terminal).clusterVersion();
    printResult(terminal, flags, shown, () => showStatus(shown));
  });

  const finish = upgrade
    .command('finish')
    .description(
      'move to the newest version that the members speak, now; older programs are locked out for good',
    );
  withClientFlags(finish, 'raftkv upgrade finish').action(async (flags: ClientFlags) => {
    const client = clientOf(flags, terminal);
    const { clusterVersion: before, members } = await client.clusterVersion();
    // Not what all speak, but what one of them does: the answer then names those that are missing.
    const newest = Math.max(before, ...members.map((member) => member.newest ?? 0));
    const clusterVersion = newest === before ? before : await client.raiseClusterVersion(newest);
    printResult(terminal, flags, { clusterVersion }, () =>
      clusterVersion === before
        ? `the cluster is at version ${before} already`
        : `the cluster has moved to version ${clusterVersion}`,
    );
  });

  const hold = upgrade
    .command('hold')
    .description('keep the cluster version until "resume" or "finish", so that members can be taken back');
  withClientFlags(hold, 'raftkv upgrade hold').action((flags: ClientFlags) => setHold(terminal, flags, true));

  const resume = upgrade
    .command('resume')
    .description('let the leader move the cluster, once all members have spoken the version for the delay');
  withClientFlags(resume, 'raftkv upgrade resume').action((flags: ClientFlags) =>
    setHold(terminal, flags, false),
  );
}

async function setHold(terminal: Terminal, flags: ClientFlags, held: boolean): Promise<void> {
  const client = clientOf(flags, terminal);
  await client.holdClusterVersion(held);
  // The version may have been raised just before.
  const { clusterVersion } = await client.clusterVersion();
  printResult(terminal, flags, { held, clusterVersion }, () =>
    held
      ? `the cluster stays at version ${clusterVersion} until raftkv upgrade resume or finish`
      : `the cluster is at version ${clusterVersion} and moves on by itself; see raftkv upgrade status`,
  );
}

function showStatus(status: ClusterVersionStatus): string {
  const rows = status.members.map((member) => [member.id, speaks(member)]);
  return [`${outlook(status)}\n`, table(['ID', 'SPEAKS'], rows)].join('\n');
}

function outlook({ clusterVersion, spokenByAll, held, raiseInMs, members }: ClusterVersionStatus): string {
  const now = `The cluster is at version ${clusterVersion}`;
  const newest = Math.max(...members.map((member) => member.newest ?? 0));
  if (newest <= clusterVersion) return `${now}, the newest that its members speak.`;
  const howToGoOn = 'It is held: go on with "raftkv upgrade resume" or "finish".';
  if (spokenByAll <= clusterVersion) {
    return `${now}. It moves to version ${newest} when every member speaks it. ${held ? howToGoOn : ''}`.trim();
  }
  if (held) return `${now}, and every member speaks version ${spokenByAll}. ${howToGoOn}`;
  const when = raiseInMs === null ? 'soon' : `in ${Math.ceil(raiseInMs / 1000)} s`;
  return `${now}. It moves to version ${spokenByAll} ${when}, after which no member can go back; "raftkv upgrade hold" stops that.`;
}

function speaks({ oldest, newest, reason }: MemberVersions): string {
  if (oldest === null || newest === null) return `unknown: ${reason}`;
  return oldest === newest ? `version ${newest}` : `versions ${oldest} to ${newest}`;
}
