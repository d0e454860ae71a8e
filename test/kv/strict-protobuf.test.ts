import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import { Admission } from '../../src/kv/admission.js';
import { COMMAND_BYTES_MAX, decodeCommand, encodeCommand, stampCommand } from '../../src/kv/command-codec.js';
import { messageType } from '../../src/kv/protobuf-schema.js';
import { type Command, KEY_BYTES_MAX } from '../../src/kv/types.js';
import { EntryKind } from '../../src/raft/types.js';
import { MemoryDisk } from '../../src/storage/memory-store.js';
import { open, perform } from './kit.js';

/** Fields of proto/command.proto, encoded without any of the checks of `encodeCommand`. */
function unchecked(fields: Record<string, unknown>): Uint8Array {
  return messageType('Command')
    .encode({ version: 2, ...fields })
    .finish();
}

const key = Buffer.from('k');
const put = { key, value: Buffer.from('v') };
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Commands of every kind. */
const commands: readonly Command[] = [
  { kind: 'put', key, value: key, contentType: 'text/plain', ifRevisionIn: [1, 2] },
  { kind: 'put', key, value: key, contentType: '', ttlMs: 1000 },
  { kind: 'delete', key, ifAbsent: true, idempotency: { key: 'k', fingerprint: new Uint8Array(16) } },
  { kind: 'deletePrefix', prefix: key },
  {
    kind: 'txn',
    compare: [{ key, target: 'value', op: '=', value: key }],
    success: [
      { kind: 'put', key, value: key, contentType: '' },
      { kind: 'getPrefix', prefix: key },
    ],
    failure: [{ kind: 'delete', key }],
  },
  { kind: 'txn', compare: [], success: [{ kind: 'add', key, delta: 1, initial: 0 }], failure: [] },
  { kind: 'add', key: Buffer.from('count'), delta: 1, initial: 5 },
  { kind: 'compact', revision: 1 },
  { kind: 'leaseGrant', ttlMs: 1 },
  { kind: 'leaseKeepAlive', lease: 1 },
  { kind: 'leaseRevoke', lease: 7 },
  { kind: 'leaseExpire', lease: 7, generation: 3 },
  { kind: 'tick' },
];

describe('a command that may not enter the log', () => {
  it.each<[string, Uint8Array]>([
    ['no bytes', new Uint8Array(0)],
    ['bytes that are no message', hex('ff ff ff')],
    ['a message of version 0', unchecked({ version: 0, tick: {} })],
    ['an empty key', unchecked({ put: { ...put, key: new Uint8Array(0) } })],
    ['a key of 70,000 bytes', unchecked({ put: { ...put, key: new Uint8Array(70_000) } })],
    ['a key of one byte too many', unchecked({ delete: { key: new Uint8Array(KEY_BYTES_MAX + 1) } })],
    ['an empty prefix to delete', unchecked({ deletePrefix: { prefix: new Uint8Array(0) } })],
    ['a value beyond the limit', unchecked({ put: { ...put, value: new Uint8Array(16 * 1024 * 1024 + 1) } })],
    ['more bytes than a command has', new Uint8Array(COMMAND_BYTES_MAX + 1)],
    ['a content type with a line break', unchecked({ put: { ...put, contentType: 'a/b\r\nSet-Cookie: c' } })],
    ['a content type of 257 characters', unchecked({ put: { ...put, contentType: `a/${'b'.repeat(255)}` } })],
    ['a lease that is no number', unchecked({ put: { ...put, lease: Number.NaN } })],
    ['a lease that is infinite', unchecked({ leaseRevoke: { lease: Number.POSITIVE_INFINITY } })],
    ['a lease and a time to live', unchecked({ put: { ...put, lease: 1, ttlMs: 1000 } })],
    ['a time to live below zero', unchecked({ leaseGrant: { ttlMs: -1 } })],
    ['a time to live of zero', unchecked({ leaseGrant: { ttlMs: 0 } })],
    ['half a millisecond to live', unchecked({ leaseGrant: { ttlMs: 0.5 } })],
    ['more than a year to live', unchecked({ leaseKeepAlive: { lease: 1, ttlMs: 31_536_000_001 } })],
    ['generation 0', unchecked({ leaseExpire: { lease: 1, generation: 0 } })],
    [
      'revisions that are none',
      unchecked({ delete: { key, condition: { ifRevisionIn: { revision: [-1] } } } }),
    ],
    [
      'too many revisions',
      unchecked({ delete: { key, condition: { ifRevisionNotIn: { revision: Array(101).fill(1) } } } }),
    ],
    ['an idempotency key of no characters', unchecked({ tick: {}, idempotency: idempotency('') })],
    ['an idempotency key of 129', unchecked({ tick: {}, idempotency: idempotency('k'.repeat(129)) })],
    ['an idempotency key with a line break', unchecked({ tick: {}, idempotency: idempotency('a\nb') })],
    [
      'a fingerprint of 15 bytes',
      unchecked({ tick: {}, idempotency: { ...idempotency('k'), fingerprint: new Uint8Array(15) } }),
    ],
    ['129 operations', unchecked({ txn: { success: Array(129).fill({ get: key }) } })],
    ['an operation of no kind', unchecked({ txn: { success: [{}] } })],
    ['a comparison with no target', unchecked({ txn: { compare: [{ key, target: 9 }] } })],
    ['a comparison with no operator', unchecked({ txn: { compare: [{ key, operator: -1 }] } })],
    ['a comparison with half a version', unchecked({ txn: { compare: [{ key, target: 1, number: 0.5 }] } })],
    [
      'a comparison of being there by less',
      unchecked({ txn: { compare: [{ key, target: 4, operator: 2 }] } }),
    ],
    [
      'a condition in a transaction',
      unchecked({ txn: { success: [{ put: { ...put, condition: { ifAbsent: true } } }] } }),
    ],
    ['log time that is no number', unchecked({ tick: {}, logTimeMs: Number.NaN })],
    ['log time below zero', unchecked({ tick: {}, logTimeMs: -1 })],
    ['log time that no cluster reaches', unchecked({ tick: {}, logTimeMs: 2 ** 48 })],
    ['log time twice', stampCommand(stampCommand(encodeCommand({ kind: 'tick' }), 1), 2)],
    [
      'two kinds',
      Buffer.concat([unchecked({ tick: {} }), unchecked({ leaseRevoke: { lease: 1 } }).subarray(2)]),
    ],
    ['a field twice', hex('08 02 08 02 52 00')],
    ['a field that is not known', hex('08 02 52 00 98 06 01')],
    ['a field of another type', hex('08 02 52 00 79 00')],
    ['a text that is not UTF-8', hex('08 02 12 0a 0a 01 6b 12 01 76 1a 02 ff fe')],
    ['a text that ends too early', hex('08 02 12 09 0a 01 6b 12 01 76 1a 7f 61')],
    ['a number that does not end', hex('08 ff ff ff ff ff ff ff ff ff ff ff 01 52 00')],
  ])('has %s', (_, payload) => {
    expect(refusalOf(payload)).toMatch(/^The command .*\.$/);
  });

  it('is any that a command becomes when bytes of it change, unless it is a command again', () => {
    const encoded = fc.constantFrom(...commands).map((command) => stampCommand(encodeCommand(command), 7));
    const changes = fc.array(fc.record({ at: fc.nat(), byte: fc.nat(255), cut: fc.boolean() }), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(encoded, changes, (valid, list) => {
        let payload = Buffer.from(valid);
        for (const { at, byte, cut } of list) {
          if (cut) payload = payload.subarray(0, at % (payload.length + 1));
          else if (payload.length > 0) payload[at % payload.length] = byte;
        }
        expectTotal(payload);
      }),
    );
  });

  it('is nearly every random run of bytes, and none of them is fatal', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (payload) => expectTotal(payload)));
  });
});

describe('a command that may enter the log', () => {
  it.each(commands.map((command) => [command.kind, command] as const))('is a %s', (_, command) => {
    expect(refusalOf(stampCommand(encodeCommand(command), 7))).toBeNull();
  });

  // An encoder of proto3 leaves out what is empty; an apply that throws would end every member, and again at each restart.
  it.each(commands.map((command) => [command.kind, command] as const))(
    'is a %s without any one of its fields, unless that is refused, and can be applied',
    async (_, command) => {
      for (const payload of withoutEachField(encodeCommand(command))) {
        expectTotal(payload);
        if (refusalOf(payload) === null) await expectApplicable(payload);
      }
    },
  );
});

type Fields = Record<string, unknown>;

/** The command encoded again without one of its fields, for each field of each of its messages. */
function withoutEachField(encoded: Uint8Array): readonly Uint8Array[] {
  const type = messageType('Command');
  const whole = () => type.toObject(type.decode(encoded)) as Fields;
  const paths = (fields: Fields): string[][] =>
    Object.entries(fields).flatMap(([name, value]) => [
      [name],
      ...(isMessage(value) ? paths(value).map((path) => [name, ...path]) : []),
    ]);
  return paths(whole()).map((path) => {
    const fields = whole();
    const holder = path.slice(0, -1).reduce((at, name) => at[name] as Fields, fields);
    if (Array.isArray(holder)) holder.splice(Number(path.at(-1)), 1);
    else delete holder[path.at(-1) ?? ''];
    return type.encode(fields).finish();
  });
}

function isMessage(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
}

/** To a state that has a lease and the key, on disk and not. */
async function expectApplicable(payload: Uint8Array): Promise<void> {
  const kv = await open(new MemoryDisk());
  await perform(kv, { kind: 'put', key, value: key, contentType: '' }, { kind: 'leaseGrant', ttlMs: 1 });
  for (let time = 0; time < 2; time += 1) {
    const entry = { index: kv.appliedIndex + 1, term: 1, kind: EntryKind.command, payload };
    await kv.prepare(entry);
    kv.apply(entry);
    await kv.flush();
  }
}

function idempotency(text: string) {
  return { key: text, fingerprint: new Uint8Array(16) };
}

/** Either a sentence that refuses the bytes, or a command that is written as it was read. */
function expectTotal(payload: Uint8Array): void {
  const refusal = refusalOf(payload);
  if (refusal === null) {
    const { command } = decodeCommand(payload);
    expect(decodeCommand(encodeCommand(command)).command).toEqual(command);
  } else {
    expect(() => decodeCommand(payload)).toThrow(RaftkvError);
  }
}

function refusalOf(payload: Uint8Array): string | null {
  return new Admission().refuse(payload);
}
