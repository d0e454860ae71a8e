import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import { assert } from '../assert.js';
import { RaftkvError } from '../errors.js';
import type { Command, Condition } from './types.js';

/** The longest key, in bytes. A longer one is refused before it is proposed (400). */
export const KEY_BYTES_MAX = 4096;
/** The longest media type, in bytes of UTF-8; its length takes two bytes in the state's records. */
export const CONTENT_TYPE_BYTES_MAX = 65_535;

/** The version of proto/command.proto that this code writes, and the newest that it reads. */
const FORMAT_VERSION = 1;

const schema = protobuf.parse(readFileSync(new URL('../../proto/command.proto', import.meta.url), 'utf8'));
const CommandMessage = schema.root.lookupType('raftkv.command.Command');

/** protobufjs gives 64-bit numbers as this where the library `long` is installed, and as numbers elsewhere. */
type Unsigned64 = number | { toNumber(): number };

/** The message as protobufjs decodes it; bytes are views into what was decoded. */
interface Decoded {
  readonly version: number;
  readonly put?: {
    readonly key: Uint8Array;
    readonly value: Uint8Array;
    readonly contentType: string;
    readonly condition?: DecodedCondition | null;
  } | null;
  readonly delete?: { readonly key: Uint8Array; readonly condition?: DecodedCondition | null } | null;
  readonly deletePrefix?: { readonly prefix: Uint8Array } | null;
}

interface DecodedCondition {
  readonly condition?: 'ifRevision' | 'ifAbsent';
  readonly ifRevision: Unsigned64;
  readonly ifAbsent: boolean;
}

/** The payload of a log entry. The command's shape was checked where it came in; breaking it is a programmer error. */
export function encodeCommand(command: Command): Uint8Array {
  return CommandMessage.encode(toMessage(command)).finish();
}

/**
 * Reads what {@link encodeCommand} wrote; keys and values are views into `bytes`. Throws `storage_unusable` when a
 * newer version wrote the command, and `storage_damaged` when the bytes are no command at all: neither can be skipped,
 * because the other members applied it.
 */
export function decodeCommand(bytes: Uint8Array): Command {
  let message: Decoded;
  try {
    message = CommandMessage.decode(bytes) as unknown as Decoded;
  } catch (error) {
    throw new RaftkvError(
      'storage_damaged',
      `A committed command cannot be decoded: ${(error as Error).message}. Remove this member, wipe its data directory ` +
        'and start it with --join.',
    );
  }
  if (message.version !== FORMAT_VERSION) {
    throw fromNewerVersion(
      `format ${message.version}, and this version of raftkv reads format ${FORMAT_VERSION}`,
    );
  }
  const { put, delete: deletion, deletePrefix } = message;
  if (put) {
    return {
      kind: 'put',
      key: put.key,
      value: put.value,
      contentType: put.contentType,
      ...fromCondition(put.condition),
    };
  }
  if (deletion) return { kind: 'delete', key: deletion.key, ...fromCondition(deletion.condition) };
  if (deletePrefix) return { kind: 'deletePrefix', prefix: deletePrefix.prefix };
  throw fromNewerVersion('a kind that this version of raftkv does not know');
}

function toMessage(command: Command): Record<string, unknown> {
  switch (command.kind) {
    case 'put': {
      assertKey(command.key);
      const { key, value, contentType } = command;
      assert(Buffer.byteLength(contentType) <= CONTENT_TYPE_BYTES_MAX, 'The content type is too long.');
      return { version: FORMAT_VERSION, put: { key, value, contentType, condition: toCondition(command) } };
    }
    case 'delete':
      assertKey(command.key);
      return { version: FORMAT_VERSION, delete: { key: command.key, condition: toCondition(command) } };
    case 'deletePrefix':
      assertKey(command.prefix);
      return { version: FORMAT_VERSION, deletePrefix: { prefix: command.prefix } };
  }
}

function toCondition({ ifRevision, ifAbsent }: Condition): Record<string, unknown> | undefined {
  assert(ifRevision === undefined || ifAbsent !== true, 'A key cannot be absent and have a revision.');
  if (ifAbsent === true) return { ifAbsent };
  if (ifRevision === undefined) return undefined;
  assert(Number.isSafeInteger(ifRevision) && ifRevision >= 0, `${ifRevision} is not a revision.`);
  return { ifRevision };
}

function fromCondition(condition: DecodedCondition | null | undefined): Condition {
  if (!condition) return {};
  switch (condition.condition) {
    case 'ifRevision': {
      const { ifRevision } = condition;
      const revision = typeof ifRevision === 'number' ? ifRevision : ifRevision.toNumber();
      assert(Number.isSafeInteger(revision), 'A revision is a safe integer.');
      return { ifRevision: revision };
    }
    case 'ifAbsent':
      return { ifAbsent: condition.ifAbsent };
    default:
      throw fromNewerVersion('a condition that this version of raftkv does not know');
  }
}

function assertKey(key: Uint8Array): void {
  assert(
    key.length >= 1 && key.length <= KEY_BYTES_MAX,
    `A key has 1 to ${KEY_BYTES_MAX} bytes, not ${key.length}.`,
  );
}

function fromNewerVersion(what: string): RaftkvError {
  return new RaftkvError(
    'storage_unusable',
    `A committed command has ${what}. A newer version runs in this cluster: upgrade this node and start it again.`,
  );
}
