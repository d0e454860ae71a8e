import { RaftkvError } from '../errors.js';
import {
  type CommandResult,
  DELETED_KEY_BYTES_MAX,
  DELETED_KEYS_MAX,
  LEASES_MAX,
  type LeaseId,
  PASSED_KEYS_MAX,
  type Revision,
  TXN_ANSWER_BYTES_MAX,
} from '../kv/types.js';
import type { Exchange } from './exchange.js';

type ResultOf<Kind extends CommandResult['kind']> = Extract<CommandResult, { readonly kind: Kind }>;

/**
 * Takes a command's result for what the command asked for, and lets the answer say that it is of a confirmed state. Throws
 * what a client reads where nothing was changed.
 */
export function expectResult<Kind extends CommandResult['kind']>(
  exchange: Exchange,
  result: CommandResult,
  kind: Kind,
): ResultOf<Kind> {
  exchange.consistency = 'linearizable';
  exchange.writtenRevision = result.revision;
  exchange.mustAnswer = true;
  if (isResult(result, kind)) return result;
  throw refusalOf(result);
}

function isResult<Kind extends CommandResult['kind']>(
  result: CommandResult,
  kind: Kind,
): result is ResultOf<Kind> {
  return result.kind === kind;
}

/** What a client reads where nothing was done. */
export function refusalOf(result: CommandResult): Error {
  switch (result.kind) {
    case 'preconditionFailed':
      return preconditionFailed(result.modRevision);
    case 'tooManyKeys':
      return new RaftkvError(
        'too_many_keys',
        `One change may delete at most ${DELETED_KEYS_MAX} keys, with names of at most ${DELETED_KEY_BYTES_MAX} bytes together, and the ` +
          `prefixes of a transaction may pass over ${PASSED_KEYS_MAX} keys together. This would be more. Nothing was changed; do it in ` +
          'parts, by longer prefixes, or list the keys and change each.',
        { keysMax: DELETED_KEYS_MAX, passedKeysMax: PASSED_KEYS_MAX },
      );
    case 'revisionInFuture':
      return new RaftkvError(
        'revision_in_future',
        `The newest revision is ${result.revision}, and history cannot be dropped beyond it. Nothing was changed; name a revision that ` +
          'is there, or none to drop all of the past.',
        { revision: result.revision },
      );
    case 'notANumber':
      return new RaftkvError(
        'not_a_number',
        'The key holds no whole number in decimal text between -9007199254740991 and 9007199254740991. Nothing was changed; put one ' +
          'there, or add to another key.',
      );
    case 'sumOutOfRange':
      return new RaftkvError(
        'sum_out_of_range',
        'The sum would not be between -9007199254740991 and 9007199254740991, where numbers are exact. Nothing was changed; add less.',
      );
    case 'leaseNotFound':
      return leaseNotFound(result.lease);
    case 'tooManyLeases':
      return new RaftkvError(
        'too_many_leases',
        `There are ${LEASES_MAX} leases, and no more can be granted. Nothing was changed; share leases among keys, or revoke some.`,
        { leasesMax: LEASES_MAX },
      );
    case 'answerTooLarge':
      return new RaftkvError(
        'answer_too_large',
        `What the transaction reads takes more than ${TXN_ANSWER_BYTES_MAX} bytes. Nothing was changed; read less in it, or list by pages.`,
        { bytesMax: TXN_ANSWER_BYTES_MAX },
      );
    case 'idempotencyMismatch':
      return new RaftkvError(
        'idempotency_mismatch',
        'Another request was made with this Idempotency-Key. Nothing was changed; give every new request a key of its own.',
      );
    default:
      return new Error(`The node answered with a ${result.kind}.`);
  }
}

export function preconditionFailed(modRevision: Revision): RaftkvError {
  const detail =
    modRevision === 0
      ? 'The key does not exist. Nothing was changed; a PUT with If-None-Match: * creates it.'
      : `The key exists with revision ${modRevision}. Nothing was changed; read it again and decide anew.`;
  return new RaftkvError('precondition_failed', detail, { revision: modRevision });
}

export function keyNotFound(): RaftkvError {
  return new RaftkvError('key_not_found', 'There is no such key at this revision. PUT creates it.');
}

export function leaseNotFound(lease: LeaseId): RaftkvError {
  return new RaftkvError(
    'lease_not_found',
    `There is no lease ${lease}: it has run out, was revoked, or never was. Nothing was changed; POST /v1/leases grants one.`,
    { lease: String(lease) },
  );
}
