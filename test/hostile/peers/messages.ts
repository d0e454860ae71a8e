/** Valid messages of every kind of the peer protocol, as a member of this cluster could send them now. */

import protobuf from 'protobufjs';
import { encodeCommand } from '../../../src/kv/command-codec.js';
import type { Command } from '../../../src/kv/types.js';
import { encodeConfiguration } from '../../../src/raft/configuration.js';
import { type Configuration, EntryKind, type Member } from '../../../src/raft/types.js';
import type { Prng } from '../../../src/sim/prng.js';
import { type MethodName, wire } from '../../../src/transport/wire.js';
import { mutate, mutateBytes } from '../mutations.js';
import { namesOnlyLoopback } from '../only-loopback.js';
import { type Claim, introductionOf } from './introductions.js';

/** What a forger knows of the cluster: everything that its members know. */
export interface Situation {
  readonly cluster: string;
  readonly members: readonly Member[];
  readonly term: number;
  readonly commitIndex: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
}

/** A request of one kind, and how it becomes bytes. */
export interface Sample {
  readonly method: MethodName;
  readonly message: object;
  readonly encode: (message: object) => Buffer;
}

/** An encoder whose caller says which message it is: mutated messages have no static type. */
interface AnyCodec {
  encode(value: never): Buffer;
}

const sample = (method: MethodName, codec: AnyCodec, message: object): Sample => ({
  method,
  message,
  encode: (mutated) => codec.encode(mutated as never),
});

const FORWARDED: readonly string[] = [
  'propose',
  'propose',
  'propose',
  'readIndex',
  'members',
  'addMember',
  'removeMember',
  'promoteMember',
  'setMembers',
  'planMembers',
  'transferLeadership',
  'unknown',
];

/** One valid request. */
export function validMessage(situation: Situation, random: Prng): Sample {
  const { term, lastIndex, lastTerm, commitIndex } = situation;
  switch (random.integer(0, 7)) {
    case 0:
      return sample('RequestVote', wire.voteRequest, {
        term: term + random.integer(0, 1),
        preVote: random.chance(0.5),
        lastLogIndex: lastIndex,
        lastLogTerm: lastTerm,
        leadershipTransfer: random.chance(0.2),
      });
    case 1:
      return sample('Heartbeat', wire.heartbeatRequests, {
        messages: [{ term, round: random.integer(1, 1000), commitIndex }],
      });
    case 2:
    case 3:
      return sample('AppendEntries', wire.appendRequests, {
        messages: [appendRequest(situation, random)],
      });
    case 4:
      return sample('TimeoutNow', wire.timeoutNowRequest, { term });
    case 5:
      return sample('Forward', wire.forwardRequest, forwardRequest(situation, random));
    case 6:
      return sample('InstallSnapshot', wire.snapshotChunk, {
        header: {
          term,
          index: lastIndex + random.integer(0, 3),
          indexTerm: lastTerm,
          configuration: configurationBytes(situation, random),
        },
        data: new Uint8Array(),
        end: false,
      });
    default:
      return sample('Handshake', wire.handshakeRequest, {
        hello: { identity: identityOf(situation, random), initialCluster: '' },
      });
  }
}

/** A request as it travels. */
export interface Forged {
  readonly method: MethodName;
  readonly bytes: Buffer;
  readonly introduction: Buffer;
}

/** A request of which some fields, or some bytes, are hostile. It names no address but those of this machine's loopback. */
export function forge(situation: Situation, claim: Claim, recipient: string, random: Prng): Forged {
  for (;;) {
    const { method, message, encode } = validMessage(situation, random);
    const encoded = encodedOrNothing(encode, random.chance(0.9) ? mutate(message, random) : message);
    if (encoded === undefined) continue;
    const bytes = random.chance(0.15) ? mutateBytes(encoded, random) : encoded;
    const introduction = introductionOf(claim, recipient, random);
    if (namesOnlyLoopback(bytes) && namesOnlyLoopback(introduction)) return { method, bytes, introduction };
  }
}

/** The encoder refuses some mutations, such as null in a list: no bytes mean that. */
function encodedOrNothing(encode: Sample['encode'], message: object): Buffer | undefined {
  try {
    return encode(message);
  } catch {
    return undefined;
  }
}

/** What a member says about itself. */
export function identityOf({ cluster, members }: Situation, random: Prng): Claim {
  const member = random.pick(members);
  return {
    cluster,
    id: member?.id ?? 'n1',
    incarnation: member?.incarnation ?? '0'.repeat(32),
    peerAddress: member?.peerAddress ?? '127.0.0.1:7101',
    clientUrl: member?.clientUrl ?? 'http://127.0.0.1:8101',
  };
}

function appendRequest(situation: Situation, random: Prng) {
  const { term, commitIndex, lastIndex, lastTerm } = situation;
  const count = random.integer(0, 3);
  const entries = Array.from({ length: count }, (_, offset) =>
    entryBytes(
      {
        term: random.chance(0.8) ? term : random.integer(0, term + 1),
        index: lastIndex + 1 + offset,
        kind:
          random.pick([EntryKind.noop, EntryKind.command, EntryKind.command, EntryKind.configuration, 9]) ??
          0,
      },
      situation,
      random,
    ),
  );
  return {
    term,
    previousIndex: lastIndex,
    previousTerm: lastTerm,
    commitIndex: random.chance(0.5) ? commitIndex : lastIndex + count,
    entries: Buffer.concat(entries),
  };
}

/** By hand, because the encoder of the product refuses what is hostile. */
function entryBytes(
  entry: { readonly term: number; readonly index: number; readonly kind: number },
  situation: Situation,
  random: Prng,
): Buffer {
  const payload = payloadOf(entry.kind, situation, random);
  const header = Buffer.alloc(17);
  header.writeUInt32BE(payload.length, 0);
  header.writeUInt8(entry.kind, 4);
  header.writeUIntBE(entry.term, 5, 6);
  header.writeUIntBE(entry.index, 11, 6);
  return Buffer.concat([header, payload]);
}

function payloadOf(kind: number, situation: Situation, random: Prng): Uint8Array {
  if (kind === EntryKind.command) return commandBytes(random);
  if (kind === EntryKind.configuration) return configurationBytes(situation, random);
  return random.chance(0.9) ? new Uint8Array() : Buffer.from('no-ops are empty');
}

/** An encoded command, in half of the cases one that no client could have made. */
function commandBytes(random: Prng): Uint8Array {
  const key = Buffer.from(`forged/${random.integer(0, 9)}`);
  const commands: readonly Command[] = [
    { kind: 'put', key, value: Buffer.from('forged'), contentType: '' },
    { kind: 'put', key, value: Buffer.from('forged'), contentType: 'text/plain', ttlMs: 5000 },
    { kind: 'delete', key },
    { kind: 'deletePrefix', prefix: key },
    {
      kind: 'txn',
      compare: [{ key, target: 'version', op: '=', value: 1 }],
      success: [{ kind: 'put', key, value: Buffer.from('x'), contentType: '' }],
      failure: [{ kind: 'getPrefix', prefix: key }],
    },
    { kind: 'leaseGrant', ttlMs: 5000 },
    { kind: 'leaseRevoke', lease: 1 },
    { kind: 'leaseExpire', lease: 1, generation: 1 },
    { kind: 'tick' },
  ];
  const command = random.pick(commands) ?? { kind: 'tick' };
  const bytes = encodeCommand(command);
  if (random.chance(0.5)) return bytes;
  if (random.chance(0.2)) return putOfLongKey();
  return mutateBytes(bytes, random);
}

/** A put whose key is longer than any that a node accepts; by hand, because the encoder of the product refuses it. */
function putOfLongKey(): Uint8Array {
  const { Writer } = protobuf;
  return Writer.create()
    .uint32((1 << 3) | 0)
    .uint32(2)
    .uint32((2 << 3) | 2)
    .fork()
    .uint32((1 << 3) | 2)
    .bytes(Buffer.alloc(70_000, 1))
    .ldelim()
    .finish();
}

function configurationBytes({ members }: Situation, random: Prng): Uint8Array {
  const configuration: Configuration = {
    members,
    voters: members.map(({ id }) => id),
    outgoingVoters: [],
    learners: [],
  };
  if (random.chance(0.3)) return encodeConfiguration(configuration);
  if (random.chance(0.5)) return mutateBytes(encodeConfiguration(configuration), random);
  const document = JSON.parse(Buffer.from(encodeConfiguration(configuration)).toString()) as object;
  return Buffer.from(JSON.stringify(mutate(document, random)) ?? 'null');
}

function forwardRequest(situation: Situation, random: Prng) {
  const operation = random.pick(FORWARDED) ?? 'propose';
  const member = random.pick(situation.members);
  const documents: Readonly<Record<string, object>> = {
    addMember: { id: 'n7', peer: '127.0.0.1:9', incarnation: '', clientUrl: '' },
    removeMember: { id: 'n7', force: false },
    promoteMember: { id: 'n7' },
    setMembers: { members: [{ id: 'n7', peer: '127.0.0.1:9' }], force: false },
    planMembers: { kind: 'remove', id: member?.id ?? 'n1', force: false },
    transferLeadership: { to: member?.id ?? 'n1' },
  };
  const document = documents[operation];
  const payload =
    operation === 'propose'
      ? commandBytes(random)
      : document === undefined
        ? new Uint8Array()
        : Buffer.from(JSON.stringify(random.chance(0.7) ? mutate(document, random) : document));
  return { operation, payload, timeoutMs: random.integer(1, 300) };
}
