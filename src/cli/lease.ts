import type { Command } from 'commander';
import type { LeaseSummary, RaftkvClient } from '../client/index.js';
import { type ClientFlags, checkText, clientOf, parseTtl, withClientFlags } from './client-command.js';
import { showName } from './show-item.js';
import { countOf, printResult, type Terminal, table } from './terminal.js';

export function addLease(program: Command, terminal: Terminal): void {
  const lease = program
    .command('lease')
    .description('leases: keys that are put with one are deleted when it ends');

  const grant = lease
    .command('grant')
    .description('make a lease')
    .argument('<TTL>', 'how long it lives when it is not kept alive, such as 30s', parseTtl);
  withClientFlags(grant, 'raftkv lease grant 30s', 'raftkv put session/7 here --lease 12').action(
    async (ttlSeconds: number, flags: ClientFlags) => {
      const result = await clientOf(flags, terminal).grantLease({ ttlSeconds });
      printResult(
        terminal,
        flags,
        result,
        () => `lease ${result.lease} granted for ${seconds(result.ttlSeconds)}`,
      );
    },
  );

  const keepalive = lease
    .command('keepalive')
    .description('let a lease live for its whole time again')
    .argument('<ID>')
    .option('--ttl <DURATION>', 'from now on for this time', parseTtl);
  withClientFlags(keepalive, 'raftkv lease keepalive 12').action(
    async (id: string, flags: ClientFlags & { readonly ttl?: number }) => {
      const result = await clientOf(flags, terminal).keepAlive(checkText(id), { ttlSeconds: flags.ttl });
      printResult(
        terminal,
        flags,
        result,
        () => `lease ${result.lease} lives for ${seconds(result.ttlSeconds)}`,
      );
    },
  );

  const show = lease.command('show').description('what is left of a lease, and its keys').argument('<ID>');
  withClientFlags(show, 'raftkv lease show 12').action(async (id: string, flags: ClientFlags) => {
    const state = await clientOf(flags, terminal).lease(checkText(id));
    printResult(terminal, flags, state, () => {
      const { lease, remainingSeconds, ttlSeconds, keys } = state;
      const head = `lease ${lease}: ${seconds(remainingSeconds)} of ${seconds(ttlSeconds)} are left`;
      return [head, ...keys.map(showName)].join('\n');
    });
  });

  const list = lease.command('list').description('list the leases');
  withClientFlags(list, 'raftkv lease list').action(async (flags: ClientFlags) => {
    const leases = await allLeases(clientOf(flags, terminal));
    printResult(terminal, flags, { leases }, () => leaseTable(leases));
  });

  const revoke = lease.command('revoke').description('end a lease and delete its keys').argument('<ID>');
  withClientFlags(revoke, 'raftkv lease revoke 12').action(async (id: string, flags: ClientFlags) => {
    const result = await clientOf(flags, terminal).revokeLease(checkText(id));
    printResult(
      terminal,
      flags,
      result,
      () => `lease ${result.lease} revoked, ${countOf(result.deleted, 'key')} deleted`,
    );
  });
}

async function allLeases(client: RaftkvClient): Promise<readonly LeaseSummary[]> {
  const all: LeaseSummary[] = [];
  for (let more = true; more; ) {
    const page = await client.leases({ after: all.at(-1)?.lease });
    all.push(...page.leases);
    more = page.more;
  }
  return all;
}

function leaseTable(leases: readonly LeaseSummary[]): string {
  if (leases.length === 0) return 'no leases';
  return table(
    ['ID', 'TTL', 'LEFT'],
    leases.map(({ lease, ttlSeconds, remainingSeconds }) => [
      lease,
      seconds(ttlSeconds),
      seconds(remainingSeconds),
    ]),
  );
}

function seconds(count: number): string {
  return `${Math.round(count * 10) / 10} s`;
}
