import { type Buffer, isUtf8 } from 'node:buffer';
import type { Command } from 'commander';
import type { Txn, TxnOperationResult, TxnResult } from '../client/index.js';
import { RaftkvError } from '../errors.js';
import { type ClientFlags, clientOf, withClientFlags } from './client-command.js';
import { readInput } from './input.js';
import { showName, showValue } from './show-item.js';
import { countOf, printResult, type Terminal } from './terminal.js';

export function addTxn(program: Command, terminal: Terminal): void {
  const command = program
    .command('txn')
    .summary('compare, then do one of two branches')
    .description('compare, then do one of two branches, all at one revision; exits with 0 for either branch')
    .argument('[FILE]', 'the transaction as JSON; standard input unless given, or for -');
  withClientFlags(
    command,
    `echo '{"compare":[{"key":"a","target":"exists","op":"=","value":false}],`,
    `       "success":[{"put":{"key":"a","value":"1"}}],"failure":[{"get":{"key":"a"}}]}' | raftkv txn`,
  ).action(async (file: string | undefined, flags: ClientFlags) => {
    const client = clientOf(flags, terminal);
    const result = await client.txn(parseTxn(await readInput(file, terminal)));
    printResult(terminal, flags, result, () => forPeople(result));
  });
}

/** What is in it, the server checks. */
function parseTxn(bytes: Buffer): Txn {
  if (!isUtf8(bytes)) {
    throw new RaftkvError(
      'usage',
      'The transaction is not UTF-8, and other bytes would be stored. Give such bytes in base64, as keyBase64 or valueBase64.',
    );
  }
  try {
    const txn: Txn = JSON.parse(bytes.toString('utf8'));
    if (typeof txn === 'object' && txn !== null && !Array.isArray(txn)) return txn;
  } catch {
    // Told below.
  }
  throw new RaftkvError(
    'usage',
    'The transaction is no JSON object. Give {"compare":[…],"success":[…],"failure":[…]}; raftkv txn --help shows one.',
  );
}

function forPeople({ succeeded, revision, results }: TxnResult): string {
  const branch = succeeded ? 'the comparisons hold: success' : 'the comparisons do not hold: failure';
  return [`${branch}; the store is at revision ${revision}`, ...results.flatMap(describe)].join('\n');
}

function describe(result: TxnOperationResult): readonly string[] {
  if ('put' in result) {
    const { created, lease } = result.put;
    const granted = lease === undefined ? '' : ` with lease ${lease}`;
    return [`put ${showName(result.put)} ${created ? 'created' : 'replaced'}${granted}`];
  }
  if ('add' in result) return [`add ${showName(result.add)} is ${result.add.value}`];
  if ('delete' in result) return [`delete ${countOf(result.delete.deleted, 'key')}`];
  const { items } = result.get;
  return items.length === 0
    ? ['get nothing']
    : items.map(
        (item) => `get ${showName(item.toJSON())} ${showValue(item)} at revision ${item.modRevision}`,
      );
}
