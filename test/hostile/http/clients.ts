/** Kinds of hostile clients. Each function is one client, from its connection to the end of its interest. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { present } from '../../../src/assert.js';
import type { Prng } from '../../../src/sim/prng.js';
import { mutateBytes } from '../mutations.js';
import { type Abandoned, answerOn, open } from './connection.js';
import { huge, malformed } from './malformed.js';
import {
  anyDraft,
  bytesOf,
  type Draft,
  FOREIGN,
  HELD_LOCK,
  HOSTILE_PREFIX,
  LARGE_PREFIX,
  MANY_PREFIX,
  maySend,
  newMember,
  twist,
  type Voter,
} from './requests.js';
import type { Tally } from './tally.js';

/** What a client knows of its target, and where it tells what happened. */
export interface Stage {
  readonly port: number;
  readonly voters: readonly Voter[];
  readonly abandoned: Abandoned;
  readonly tally: Tally;
}

type Client = (stage: Stage, random: Prng) => Promise<void>;

/** How long a client that reads waits for its answer. */
const PATIENCE_MS = 3_000;
/** How long a client that abandons its request stays. */
const STAY_MS_MAX = 300;
const SLOW_PAUSE_MS_MAX = 150;
const SLOW_PIECES_MAX = 10;
const BODY_BYTES_MAX = 1024 * 1024;
const PIPELINED_MAX = 64;
const PREFIX_GETS = 128;

const WEIGHTED: readonly (readonly [weight: number, name: string, client: Client])[] = [
  [30, 'twisted', twisted],
  [12, 'malformed', sendsMalformed],
  [5, 'huge', sendsHuge],
  [8, 'foreign', foreign],
  [6, 'slow head', slowHead],
  [6, 'slow body', slowBody],
  [5, 'half-open', halfOpen],
  [4, 'silent', silent],
  [14, 'abandoned wait', abandonsWait],
  [4, 'unread listing', unreadListing],
  [1, 'pipelined flood', flood],
  [1, 'prefix transaction', prefixTransaction],
];

const WEIGHTS = WEIGHTED.reduce((sum, [weight]) => sum + weight, 0);

/** One client of some kind. */
export async function anyClient(stage: Stage, random: Prng): Promise<void> {
  let left = random.real() * WEIGHTS;
  for (const [weight, name, client] of WEIGHTED) {
    left -= weight;
    if (left >= 0) continue;
    stage.tally.begin(name);
    await client(stage, random);
    return;
  }
}

/** Requests on one connection, one after the other, valid but for a few things. */
async function twisted(stage: Stage, random: Prng): Promise<void> {
  const socket = await connected(stage);
  if (socket === undefined) return;
  for (let left = random.integer(1, 4); left > 0 && socket.writable; left -= 1) {
    const draft = anyDraft(random, stage.voters);
    const bytes = bytesOf(random.chance(0.15) ? draft : twist(draft, random), stage.port);
    await ask(stage, socket, random.chance(0.1) ? mutateBytes(bytes, random) : bytes, random);
  }
  leave(stage, socket, random);
}

async function sendsMalformed(stage: Stage, random: Prng): Promise<void> {
  const socket = await connected(stage);
  if (socket === undefined) return;
  await ask(stage, socket, malformed(random), random);
  leave(stage, socket, random);
}

async function sendsHuge(stage: Stage, random: Prng): Promise<void> {
  const socket = await connected(stage);
  if (socket === undefined) return;
  await ask(stage, socket, huge(random), random);
  leave(stage, socket, random);
}

async function foreign(stage: Stage, random: Prng): Promise<void> {
  const draft = anyDraft(random, stage.voters);
  const headers = [...draft.headers, present(random.pick(FOREIGN), 'There are foreign headers.')];
  const method = random.chance(0.1) ? 'OPTIONS' : draft.method;
  const socket = await connected(stage);
  if (socket === undefined) return;
  await ask(stage, socket, bytesOf({ ...draft, method, headers }, stage.port), random);
  leave(stage, socket, random);
}

async function slowHead(stage: Stage, random: Prng): Promise<void> {
  const draft = anyDraft(random, stage.voters);
  await sendSlowly(stage, bytesOf(draft, stage.port), random);
}

/** A large value in pieces, whole in the end or not. */
async function slowBody(stage: Stage, random: Prng): Promise<void> {
  const body = 'x'.repeat(random.integer(1, random.chance(0.05) ? BODY_BYTES_MAX : 20_000));
  const target = `/v1/kv/${HOSTILE_PREFIX}slow?timeout=2s`;
  await sendSlowly(stage, bytesOf({ method: 'PUT', target, headers: [], body }, stage.port), random);
}

/** Closes its side at once, and reads what comes. */
async function halfOpen(stage: Stage, random: Prng): Promise<void> {
  const socket = await connected(stage);
  if (socket === undefined) return;
  const bytes = bytesOf(anyDraft(random, stage.voters), stage.port);
  const end = random.chance(0.5) ? bytes.length : random.integer(0, bytes.length);
  await ask(stage, socket, bytes.subarray(0, end), random, () => socket.end());
  leave(stage, socket, random);
}

/** Connects and says nothing. */
async function silent(stage: Stage, random: Prng): Promise<void> {
  const socket = await connected(stage);
  if (socket === undefined) return;
  stage.tally.sent(1);
  leave(stage, socket, random, 0.5);
}

/** Asks for what takes long, or never comes, and leaves. */
async function abandonsWait(stage: Stage, random: Prng): Promise<void> {
  const never = `minRevision=${Number.MAX_SAFE_INTEGER}&timeout=1h`;
  const member = newMember(random, stage.voters);
  const drafts: readonly Draft[] = [
    get(`/v1/kv/${HOSTILE_PREFIX}1?${never}`),
    get(`/v1/kv/${HOSTILE_PREFIX}1?consistency=stale&${never}`),
    get(`/v1/kv?${never}&redirect=never`),
    get(`/v1/watch?prefix=&${never}`),
    get('/v1/watch?prefix=&fromRevision=999999999&timeout=1h'),
    get(`/v1/watch?prefix=${HOSTILE_PREFIX}&fromRevision=1`),
    withBody('POST', `/v1/locks/${HELD_LOCK}?redirect=never`, { ttlSeconds: 1, waitSeconds: 3_600 }),
    withBody('POST', '/v1/members?timeout=1h&redirect=never', member),
    withBody('PUT', '/v1/members?timeout=1h&redirect=never', { members: [...stage.voters, member] }),
    withBody('POST', `/v1/members/${member.id}/promote?timeout=1h&redirect=never`, {}),
    withBody('PUT', `/v1/kv/${HOSTILE_PREFIX}gone?redirect=never`, 'x'),
  ];
  const socket = await connected(stage);
  if (socket === undefined) return;
  const draft = present(random.pick(drafts), 'There are requests.');
  if (!write(stage, socket, bytesOf(draft, stage.port))) return;
  await sleep(random.integer(0, STAY_MS_MAX));
  leave(stage, socket, random, 0.1);
}

/** Asks for much and takes none of it. */
async function unreadListing(stage: Stage, random: Prng): Promise<void> {
  const socket = await connected(stage);
  if (socket === undefined) return;
  const target = present(
    random.pick([
      `/v1/kv?prefix=${LARGE_PREFIX}&limit=1000&consistency=stale`,
      `/v1/kv?prefix=${MANY_PREFIX}&limit=1000&redirect=never`,
      `/v1/watch?prefix=${LARGE_PREFIX}&fromRevision=1`,
      '/openapi.json',
      '/metrics',
    ]),
    'There are targets.',
  );
  const headers = random.chance(0.3) ? ([['Accept-Encoding', 'gzip']] as const) : [];
  socket.pause();
  if (!write(stage, socket, bytesOf({ method: 'GET', target, headers }, stage.port))) return;
  stage.abandoned.add(socket);
}

/** Many requests in one write, of which it reads no answer. */
async function flood(stage: Stage, random: Prng): Promise<void> {
  const socket = await connected(stage);
  if (socket === undefined) return;
  socket.pause();
  const count = random.integer(2, PIPELINED_MAX);
  const drafts = Array.from({ length: count }, () =>
    random.chance(0.7) ? get(`/v1/kv/${HOSTILE_PREFIX}slow`) : anyDraft(random, stage.voters),
  );
  const pieces = drafts
    .map((draft) => bytesOf(draft, stage.port))
    .filter((bytes) => maySend(bytes, stage.voters));
  socket.write(Buffer.concat(pieces));
  stage.tally.sent(pieces.length);
  stage.abandoned.add(socket);
}

/** As many walks over as many keys as one transaction may ask for; with a key to repeat it by, it goes through the log. */
async function prefixTransaction(stage: Stage, random: Prng): Promise<void> {
  const socket = await connected(stage);
  if (socket === undefined) return;
  const prefix = random.chance(0.5) ? MANY_PREFIX : `${MANY_PREFIX}${random.integer(0, 9)}`;
  const gets = Array.from({ length: random.integer(1, PREFIX_GETS) }, () => ({ get: { prefix } }));
  const headers = random.chance(0.5)
    ? [['Idempotency-Key', `hostile-${random.integer(0, 1e9)}`] as const]
    : [];
  const draft = { method: 'POST', target: '/v1/txn?redirect=never', headers, body: { success: gets } };
  await ask(stage, socket, bytesOf(draft, stage.port), random);
  leave(stage, socket, random);
}

function get(target: string): Draft {
  return { method: 'GET', target, headers: [] };
}

function withBody(method: string, target: string, body: object | string): Draft {
  return { method, target, headers: [], body };
}

async function connected(stage: Stage): Promise<Socket | undefined> {
  const socket = await open(stage.port);
  if (socket === undefined) stage.tally.refused();
  return socket;
}

/** False where these bytes are not to be sent; then the connection is closed. */
function write(stage: Stage, socket: Socket, bytes: Buffer): boolean {
  if (!maySend(bytes, stage.voters)) {
    socket.destroy();
    return false;
  }
  stage.tally.sent(1);
  socket.write(bytes);
  return true;
}

async function ask(
  stage: Stage,
  socket: Socket,
  bytes: Buffer,
  random: Prng,
  afterwards?: () => void,
): Promise<void> {
  if (!write(stage, socket, bytes)) return;
  afterwards?.();
  // Half of a request is never answered, and one that waits late.
  const answer = await answerOn(socket, random.chance(0.1) ? STAY_MS_MAX : PATIENCE_MS);
  stage.tally.answered(answer, bytes);
}

async function sendSlowly(stage: Stage, bytes: Buffer, random: Prng): Promise<void> {
  if (!maySend(bytes, stage.voters)) return;
  const socket = await connected(stage);
  if (socket === undefined) return;
  stage.tally.sent(1);
  const pieces = random.integer(2, SLOW_PIECES_MAX);
  const isWhole = random.chance(0.5);
  const size = Math.ceil(bytes.length / pieces);
  for (let piece = 0; piece < (isWhole ? pieces : pieces - 1) && socket.writable; piece += 1) {
    socket.write(bytes.subarray(piece * size, (piece + 1) * size));
    await sleep(random.integer(0, SLOW_PAUSE_MS_MAX));
  }
  if (isWhole) stage.tally.answered(await answerOn(socket, PATIENCE_MS), bytes);
  leave(stage, socket, random, isWhole ? 0 : 0.3);
}

/** @param stays The probability that it stays, and does nothing any more. */
function leave(stage: Stage, socket: Socket, random: Prng, stays = 0): void {
  if (random.chance(stays)) stage.abandoned.add(socket);
  else if (random.chance(0.5)) socket.resetAndDestroy();
  else socket.destroy();
}
