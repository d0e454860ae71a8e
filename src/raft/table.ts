import { AssertionError } from '../assert.js';
import type { Core } from './core.js';
import { campaign, handleRequestVote, handleRequestVoteResponse } from './elections.js';
import { confirmReads } from './reads.js';
import {
  handleAppendEntries,
  handleAppendEntriesResponse,
  handleHeartbeat,
  handleHeartbeatResponse,
} from './replication.js';
import { handleInstallSnapshot, handleInstallSnapshotResponse } from './snapshots.js';
import type {
  AppendEntries,
  Heartbeat,
  InstallSnapshot,
  Message,
  MessageType,
  Role,
  TimeoutNow,
} from './types.js';

/**
 * What each role does with each message of its own term (higher terms have made it a follower before, lower ones never get
 * here). The type demands an entry for every pair, so a forgotten case does not compile. test/raft/table.test.ts checks
 * each cell.
 */
type MessageOf<Type extends MessageType> = Extract<Message, { type: Type }>;
type Handler<Type extends MessageType> = (core: Core, message: MessageOf<Type>) => void;
type Row = { readonly [Type in MessageType]: Handler<Type> };

/** The message belongs to a role that this node has left, or never had. */
const ignore = (): void => {};

/** A leader of this very term exists, so whoever campaigns in it has lost (§5.2). */
function followThen<Request extends AppendEntries | Heartbeat | InstallSnapshot>(
  handle: (core: Core, message: Request) => void,
): (core: Core, message: Request) => void {
  return (core, message) => {
    core.hearLeader(message.from);
    handle(core, message);
  };
}

/** An answer to a vote that is not counted any more may still say that this node was removed. */
function hearNotice(core: Core, message: MessageOf<'requestVoteResponse'>): void {
  if (message.removed) core.hearOfRemoval(message.from);
}

function handleVoteAnswer(core: Core, message: MessageOf<'requestVoteResponse'>): void {
  if (message.removed) core.hearOfRemoval(message.from);
  else handleRequestVoteResponse(core, message);
}

/** A leader knows who leads its term, so another leader's message never gets here (`plausibility.ts`). */
function secondLeader(core: Core, message: Message): never {
  throw new AssertionError(`${message.from} and ${core.options.id} both lead term ${core.term}.`);
}

function handleTimeoutNow(core: Core, message: TimeoutNow): void {
  if (!core.isVoter) return;
  campaign(core, true, `Leader ${message.from} hands leadership over.`);
}

function handleHeartbeatResponseAndReads(core: Core, message: MessageOf<'heartbeatResponse'>): void {
  handleHeartbeatResponse(core, message);
  confirmReads(core);
}

const follower: Row = {
  requestVote: handleRequestVote,
  requestVoteResponse: hearNotice,
  appendEntries: followThen(handleAppendEntries),
  appendEntriesResponse: ignore,
  heartbeat: followThen(handleHeartbeat),
  heartbeatResponse: ignore,
  installSnapshot: followThen(handleInstallSnapshot),
  installSnapshotResponse: ignore,
  timeoutNow: handleTimeoutNow,
};

export const table: Readonly<Record<Role, Row>> = {
  follower,
  preCandidate: { ...follower, requestVoteResponse: handleVoteAnswer },
  candidate: { ...follower, requestVoteResponse: handleVoteAnswer, timeoutNow: ignore },
  leader: {
    requestVote: handleRequestVote,
    requestVoteResponse: ignore,
    appendEntries: secondLeader,
    appendEntriesResponse: handleAppendEntriesResponse,
    heartbeat: secondLeader,
    heartbeatResponse: handleHeartbeatResponseAndReads,
    installSnapshot: secondLeader,
    installSnapshotResponse: handleInstallSnapshotResponse,
    timeoutNow: ignore,
  },
};

/** Hands the message to its handler. */
export function dispatch(core: Core, message: Message): void {
  // The key and the argument come from the same message, which the type system cannot see across a union.
  const handler = table[core.role][message.type] as (core: Core, message: Message) => void;
  handler(core, message);
}
