/** What answers look like, in the words of JSON Schema, for `/openapi.json`. A test compares them with real answers. */

export type Schema = Readonly<Record<string, unknown>>;

export const integer: Schema = { type: 'integer', minimum: 0 };
export const text: Schema = { type: 'string' };
export const flag: Schema = { type: 'boolean' };
const number: Schema = { type: 'number', minimum: 0 };
const leaseId: Schema = { type: 'string', pattern: '^[1-9][0-9]*$' };

/** An object that has these members, those after a "?" perhaps, and no others. */
export function object(properties: Readonly<Record<string, Schema>>): Schema {
  const names = Object.keys(properties);
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [plain(name), properties[name]])),
    required: names.filter((name) => !name.startsWith('?')),
    additionalProperties: false,
  };
}

function plain(name: string): string {
  return name.replace(/^\?/, '');
}

export function list(items: Schema): Schema {
  return { type: 'array', items };
}

/** Bytes stand under a name as text, or under that name and "Base64" where they are not UTF-8. */
function named(name: string): Readonly<Record<string, Schema>> {
  return { [`?${name}`]: text, [`?${name}Base64`]: text };
}

export const item = object({
  ...named('key'),
  ...named('value'),
  createRevision: integer,
  modRevision: integer,
  version: integer,
  '?lease': leaseId,
  '?contentType': text,
});

export const problemDocument: Schema = {
  type: 'object',
  properties: { type: text, title: text, status: integer, code: text, detail: text },
  required: ['type', 'title', 'status', 'code', 'detail'],
};

export const putAnswer = object({ ...named('key'), revision: integer, created: flag, '?lease': leaseId });
export const addAnswer = object({
  ...named('key'),
  value: { type: 'integer' },
  revision: integer,
  created: flag,
});
export const compactAnswer = object({ revision: integer, compactedRevision: integer });
export const deleteAnswer = object({ revision: integer, deleted: integer });
export const listAnswer = object({ revision: integer, items: list(item), '?nextCursor': text });

export const txnAnswer = object({
  succeeded: flag,
  revision: integer,
  results: list({
    anyOf: [
      object({ put: object({ ...named('key'), created: flag, '?lease': leaseId }) }),
      object({ add: object({ ...named('key'), value: { type: 'integer' }, created: flag }) }),
      object({ get: object({ items: list(item) }) }),
      object({ delete: object({ deleted: integer }) }),
    ],
  }),
});

const leaseMembers = { lease: leaseId, ttlSeconds: number };
export const leaseGranted = object({ ...leaseMembers, revision: integer });
export const leaseRevoked = object({ lease: leaseId, deleted: integer, revision: integer });
export const leaseShown = object({
  ...leaseMembers,
  remainingSeconds: number,
  keys: list(object(named('key'))),
});
export const leasesListed = object({
  leases: list(object({ ...leaseMembers, remainingSeconds: number })),
  more: flag,
});

export const lockTaken = object({ ...named('name'), token: integer, lease: leaseId });
export const lockReleased = object({ ...named('name'), released: flag });
export const lockShown = object({
  ...named('name'),
  held: flag,
  '?token': integer,
  '?lease': leaseId,
  '?value': text,
  waiting: integer,
});

const ids = list(text);
const membership = object({ voters: ids, learners: ids, quorum: integer, faultTolerance: integer });

export const status = object({
  cluster: text,
  id: text,
  incarnation: text,
  role: { enum: ['leader', 'follower', 'candidate', 'learner', 'removed'] },
  term: integer,
  leader: { type: ['string', 'null'] },
  leaderUrl: { type: ['string', 'null'] },
  commitIndex: integer,
  appliedIndex: integer,
  flushedIndex: integer,
  revision: integer,
  firstIndex: integer,
  lastIndex: integer,
  digest: text,
  digestDiffersFrom: list(text),
  version: text,
  clusterVersion: integer,
  uptimeSeconds: integer,
  reason: text,
  warnings: list(text),
  counters: object({
    logWrites: integer,
    logBatches: integer,
    stalls: integer,
    longestStallMs: integer,
    messagesRefused: integer,
  }),
});

const member = object({
  id: text,
  peer: text,
  client: text,
  role: { enum: ['voter', 'learner'] },
  '?leaving': flag,
  leader: flag,
  health: text,
  '?matchIndex': integer,
  '?lastContactMs': number,
});

const versionOrNull = { type: ['integer', 'null'] };
export const clusterVersionShown = object({
  clusterVersion: integer,
  spokenByAll: integer,
  held: flag,
  raiseInMs: { type: ['number', 'null'] },
  members: list(object({ id: text, oldest: versionOrNull, newest: versionOrNull, reason: text })),
});
export const clusterVersionRaised = object({ clusterVersion: integer });
export const clusterVersionHeld = object({ held: flag });

export const membersListed = object({ members: list(member) });
export const memberAdded = object({ cluster: text, member, added: flag });
export const memberRemoved = object({ removed: text });
export const memberPromoted = object({ promoted: text });
export const membersSet = object({ voters: ids, added: ids, removed: ids });
export const leaderMoved = object({ leader: text });
export const membershipPlan = object({
  before: membership,
  after: membership,
  liveVotersAfter: ids,
  steps: list(object({ step: text, members: ids, description: text })),
  warnings: ids,
});
