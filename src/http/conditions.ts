import type { IncomingHttpHeaders } from 'node:http';
import { RaftkvError } from '../errors.js';
import { CONDITION_REVISIONS_MAX, type Condition, type Revision } from '../kv/types.js';

/**
 * HTTP's conditional requests (RFC 9110 §13). An entity tag of this server is a revision in double quotes; any other tag is of
 * something that is not there. On a write the condition is checked where the command is applied.
 */
export function writeCondition(headers: IncomingHttpHeaders): Condition | undefined {
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw new RaftkvError(
      'bad_request',
      'If-Match and If-None-Match contradict each other; send one of them.',
    );
  }
  if (ifMatch !== undefined) {
    const tags = tagSet(ifMatch, 'If-Match', false);
    if (tags === '*') return { ifPresent: true };
    const revisions = revisionsOf(tags, 'If-Match');
    const [first] = revisions;
    return first !== undefined && revisions.length === 1
      ? { ifRevision: first }
      : { ifRevisionIn: revisions };
  }
  const tags = tagSet(ifNoneMatch ?? '', 'If-None-Match', true);
  return tags === '*' ? { ifAbsent: true } : { ifRevisionNotIn: revisionsOf(tags, 'If-None-Match') };
}

/** Those tags that are revisions; what is none matches nothing. */
function revisionsOf(tags: ReadonlySet<string>, name: string): readonly Revision[] {
  if (tags.size > CONDITION_REVISIONS_MAX) {
    throw new RaftkvError(
      'bad_request',
      `${name} has ${tags.size} tags; ${CONDITION_REVISIONS_MAX} are allowed. Send fewer.`,
    );
  }
  return [...tags]
    .filter((tag) => /^(0|[1-9]\d{0,15})$/.test(tag))
    .map(Number)
    .filter(Number.isSafeInteger);
}

/** The conditions of a read, parsed: which tags the client has (`If-None-Match`) or insists on (`If-Match`). */
export interface ReadCondition {
  readonly ifMatch: TagSet | undefined;
  readonly ifNoneMatch: TagSet | undefined;
}

type TagSet = '*' | ReadonlySet<string>;

export function readCondition(headers: IncomingHttpHeaders): ReadCondition | undefined {
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  return {
    ifMatch: ifMatch === undefined ? undefined : tagSet(ifMatch, 'If-Match', false),
    ifNoneMatch: ifNoneMatch === undefined ? undefined : tagSet(ifNoneMatch, 'If-None-Match', true),
  };
}

/** What a read with conditions is answered with. `modRevision` is undefined where there is no such key. */
export function judgeRead(
  condition: ReadCondition,
  modRevision: Revision | undefined,
): 'proceed' | 'notModified' | 'preconditionFailed' {
  if (condition.ifMatch !== undefined && !matches(condition.ifMatch, modRevision))
    return 'preconditionFailed';
  if (condition.ifNoneMatch !== undefined && matches(condition.ifNoneMatch, modRevision))
    return 'notModified';
  return 'proceed';
}

function matches(tags: TagSet, modRevision: Revision | undefined): boolean {
  if (modRevision === undefined) return false;
  return tags === '*' || tags.has(String(modRevision));
}

/**
 * The tags of a list. If-None-Match compares weakly, so `W/` is dropped; If-Match compares strongly, and a weak tag
 * never matches (RFC 9110 §8.8.3.2).
 */
function tagSet(header: string, name: string, weakCounts: boolean): TagSet {
  if (header.trim() === '*') return '*';
  const tags = new Set<string>();
  let given = false;
  // Members of a list may be empty (RFC 9110 §5.6.1.2).
  const member = /[ \t]*(?:(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)/y;
  while (member.lastIndex < header.length) {
    const match = member.exec(header);
    if (match === null) {
      throw new RaftkvError(
        'bad_request',
        `${name} is malformed: it must be * or entity tags in double quotes, as ETag gave them: ${name}: "42".`,
      );
    }
    if (match[2] === undefined) continue;
    given = true;
    if (match[1] === undefined || weakCounts) tags.add(match[2]);
  }
  if (!given) {
    throw new RaftkvError('bad_request', `${name} is empty; give it a value or leave it out.`);
  }
  return tags;
}
