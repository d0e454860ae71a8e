import { Buffer } from 'node:buffer';
import { isWildcard, parseHostAndPort } from '../addresses.js';
import { clientUrlPattern, hostAndPortPattern, incarnationPattern, nodeIdPattern } from '../config.js';
import { RaftkvError } from '../errors.js';
import type {
  AddMemberRequest,
  AddMemberResult,
  ClusterVersionStatus,
  MemberAddress,
  MemberStatus,
  MembershipChange,
  MembershipPlan,
  MemberVersions,
  PlannedMembership,
  PlannedStep,
  SetMembersResult,
} from '../http/port.js';
import type { CommandKind, IndexedSums } from '../kv/types.js';
import type { ForwardOperation } from '../transport/contract.js';
import {
  counter,
  duration,
  flag,
  list,
  nothing,
  oneOf,
  orNull,
  record,
  type Shape,
  type ShapeOf,
  sentence,
  text,
} from './shapes.js';

/** The longest that a node works for another one; clients wait no longer (see the `timeout` parameter). */
const FORWARD_MS_MAX = 60 * 60 * 1000;

const id = text(nodeIdPattern);
const peer = text(hostAndPortPattern);
const client = text(`^$|${clientUrlPattern}`);
const ids = list(id);
/** Where the other members are to reach somebody: like the HTTP API, it takes no address that nobody can connect to. */
const reachable: Shape<string> = (value, place) => {
  const given = peer(value, place);
  const parsed = parseHostAndPort(given);
  if (parsed !== undefined && !isWildcard(parsed.host)) return given;
  throw new RaftkvError('bad_request', `${place} is an address that nobody can connect to. Correct it.`);
};
const address = record<MemberAddress>({ id, peer: reachable });
const addresses: Shape<readonly MemberAddress[]> = (value, place) => {
  const members = list(address)(value, place);
  const distinct = (name: 'id' | 'peer') =>
    new Set(members.map((member) => member[name])).size === members.length;
  if (members.length > 0 && distinct('id') && distinct('peer')) return members;
  throw new RaftkvError('bad_request', `${place} is empty, or names an id or an address twice. Correct it.`);
};

const memberStatus = record<MemberStatus>(
  {
    id,
    peer,
    client,
    role: oneOf('voter', 'learner'),
    leaving: (value, place) => {
      flag(value, place);
      return true;
    },
    leader: flag,
    health: sentence,
    matchIndex: counter,
    lastContactMs: duration,
  },
  ['leaving', 'matchIndex', 'lastContactMs'],
);

const change: Shape<MembershipChange> = (value, place) => {
  const { kind } = record({ kind: oneOf('add', 'remove', 'promote', 'set') })(value, place);
  switch (kind) {
    case 'add':
      return { kind, ...record({ member: address })(value, place) };
    case 'set':
      return { kind, ...record({ members: addresses })(value, place) };
    default:
      return { kind, ...record({ id })(value, place) };
  }
};

const planned = record<PlannedMembership>({
  voters: ids,
  learners: ids,
  quorum: counter,
  faultTolerance: counter,
});

/**
 * Everything that a node asks of the leader in JSON: what is asked, what is answered, and whether it changes something, so that an
 * answer that cannot be read leaves its outcome unknown. A command travels as its own bytes, by `propose`.
 */
export const forwarded = {
  readIndex: { asks: nothing, answers: record({ index: counter }), changes: false },
  members: { asks: nothing, answers: list(memberStatus), changes: false },
  addMember: {
    asks: record<AddMemberRequest>({ id, peer: reachable, client, incarnation: text(incarnationPattern) }),
    answers: record<AddMemberResult>({
      cluster: text('^[0-9a-f]{1,64}$'),
      member: memberStatus,
      added: flag,
    }),
    changes: true,
  },
  removeMember: { asks: record({ id, force: flag }), answers: nothing, changes: true },
  promoteMember: { asks: record({ id }), answers: nothing, changes: true },
  setMembers: {
    asks: record({ members: addresses, force: flag }),
    answers: record<SetMembersResult>({ voters: ids, added: ids, removed: ids }),
    changes: true,
  },
  planMembers: {
    asks: change,
    answers: record<MembershipPlan>({
      before: planned,
      after: planned,
      liveVotersAfter: ids,
      steps: list(
        record<PlannedStep>({
          step: oneOf('addLearner', 'catchUp', 'promote', 'remove', 'joint', 'final'),
          members: ids,
          description: sentence,
        }),
      ),
      warnings: list(sentence),
    }),
    changes: false,
  },
  transferLeadership: {
    asks: record<{ readonly to?: string }>({ to: id }, ['to']),
    answers: record({ leader: id }),
    changes: true,
  },
  clusterVersionStatus: {
    asks: nothing,
    answers: record<ClusterVersionStatus>({
      clusterVersion: counter,
      spokenByAll: counter,
      held: flag,
      raiseInMs: orNull(duration),
      members: list(
        record<MemberVersions>({ id, oldest: orNull(counter), newest: orNull(counter), reason: sentence }),
      ),
    }),
    changes: false,
  },
  /** Of any member, whether it leads or not. */
  digests: {
    // An older member leaves out the sums, which nobody asks it for before digests differ.
    asks: record<{ readonly indexes: readonly number[]; readonly sums?: boolean }>(
      { indexes: list(counter), sums: flag },
      ['sums'],
    ),
    answers: record<{
      readonly digests: readonly (number | null)[];
      readonly sums?: readonly IndexedSums[];
    }>(
      {
        digests: list(orNull(counter)),
        sums: list(record<IndexedSums>({ index: counter, sums: list(counter) })),
      },
      ['sums'],
    ),
    changes: false,
  },
  /** By a member whose state is damaged, so that the leader streams it a snapshot; see state-repair.ts. */
  sendState: {
    asks: record({ id, incarnation: text(incarnationPattern), fromIndex: counter }),
    // A member that does not lead sends nothing, and names the one that does.
    answers: record({
      commitIndex: orNull(counter),
      leader: orNull(record({ id, incarnation: text(incarnationPattern), peer })),
    }),
    changes: false,
  },
  raiseClusterVersion: {
    asks: record({ version: counter }),
    answers: record({ clusterVersion: counter }),
    changes: true,
  },
} as const satisfies Record<
  Exclude<ForwardOperation, 'propose'>,
  { readonly asks: Shape<unknown>; readonly answers: Shape<unknown>; readonly changes: boolean }
>;

/** The commands that a follower sends to its leader by `propose`. The others a leader makes for itself. */
const forwardedCommands: Readonly<Record<CommandKind, boolean>> = {
  put: true,
  add: true,
  compact: true,
  delete: true,
  deletePrefix: true,
  txn: true,
  leaseGrant: true,
  leaseKeepAlive: true,
  leaseRevoke: true,
  leaseExpire: false,
  tick: false,
  raiseVersion: false,
};

export function isForwardedCommand(kind: CommandKind): boolean {
  return forwardedCommands[kind];
}

export type Forwarded = keyof typeof forwarded;
export type Asked<Name extends Forwarded> = ShapeOf<(typeof forwarded)[Name]['asks']>;
export type Answered<Name extends Forwarded> = ShapeOf<(typeof forwarded)[Name]['answers']>;

/** What this node does as the leader for each operation. */
export type ForwardedWork = {
  readonly [Name in Forwarded]: (
    asked: Asked<Name>,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ) => Promise<Answered<Name>> | Answered<Name>;
};

/** Does what another node asks. Throws `bad_request` when that does not fit the operation. */
export async function serveForwarded<Name extends Forwarded>(
  work: ForwardedWork,
  name: Name,
  payload: Uint8Array,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  // The key of the table and of the work are the same, which the type system cannot see.
  const asked = forwarded[name].asks(fromJson(payload), name) as Asked<Name>;
  return toJson(await work[name](asked, timeoutMs, signal));
}

/** What the leader answered. Throws when that does not fit the operation. */
export function readAnswer<Name extends Forwarded>(name: Name, payload: Uint8Array): Answered<Name> {
  try {
    return forwarded[name].answers(fromJson(payload), name) as Answered<Name>;
  } catch (error) {
    throw unreadable(forwarded[name].changes, (error as Error).message);
  }
}

/** The leader's answer makes no sense. */
export function unreadable(changes: boolean, why: string): RaftkvError {
  return changes
    ? new RaftkvError(
        'outcome_unknown',
        `The leader was asked to make the change, and its answer cannot be read. ${why}`,
      )
    : new RaftkvError('unavailable', `The leader's answer cannot be read. ${why}`);
}

/** How long another node waits for what it asked. Throws `bad_request` when that is no length of time. */
export function patienceOf(timeoutMs: number): number {
  if (Number.isNaN(timeoutMs))
    throw new RaftkvError('bad_request', 'The time to wait for an answer is no number.');
  return Math.min(Math.max(timeoutMs, 0), FORWARD_MS_MAX);
}

/** Nothing is no bytes. */
export function toJson(value: unknown): Uint8Array {
  return value === undefined ? NOTHING : Buffer.from(JSON.stringify(value));
}

function fromJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch {
    throw new RaftkvError('bad_request', 'What the other node sent is not JSON.');
  }
}

const NOTHING = new Uint8Array(0);
