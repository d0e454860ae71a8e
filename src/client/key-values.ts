import type { Call } from './call.js';
import { RaftkvClientError } from './errors.js';
import { Item, type ItemJson } from './item.js';
import type { CallOptions, ConditionOptions, ReadOptions } from './options.js';
import type { Page } from './results.js';

/** A page as the server writes it. */
export interface PageJson {
  readonly revision: number;
  readonly items: readonly ItemJson[];
  readonly nextCursor?: string;
}

export function pageOf({ revision, items, nextCursor }: PageJson): Page {
  return { revision, items: items.map((item) => new Item(item)), nextCursor };
}

/** The options that all calls share, without those that belong to one. */
export function patience({ timeoutMs, signal }: CallOptions): CallOptions {
  return { timeoutMs, signal };
}

/** A read: repeated as it is. A stale one is answered anywhere. */
export function readCall(options: ReadOptions): Omit<Call, 'path'> {
  const { consistency, minRevision, revision } = options;
  return {
    ...patience(options),
    method: 'GET',
    query: { consistency, minRevision, revision },
    where: consistency === 'stale' ? 'anywhere' : 'leader',
    repeat: 'always',
  };
}

/** A change: repeated under one idempotency key. */
export function changeCall(options: CallOptions): Pick<Call, 'where' | 'repeat' | 'timeoutMs' | 'signal'> {
  return { ...patience(options), where: 'leader', repeat: 'keyed' };
}

export function conditionHeaders({
  ifRevision,
  ifAbsent,
}: ConditionOptions): Readonly<Record<string, string>> {
  if (ifRevision !== undefined && ifAbsent === true) {
    throw new RaftkvClientError(
      'bad_request',
      'ifRevision and ifAbsent exclude each other; give one of them.',
    );
  }
  if (ifRevision !== undefined) return { 'If-Match': `"${ifRevision}"` };
  return ifAbsent === true ? { 'If-None-Match': '*' } : {};
}

/** Throws `bad_request` for what cannot stand in a header: fetch would fail in a way that looks as if the request had been lost. */
export function checkContentType(contentType: string): void {
  if (/^[\t\x20-\x7e]*$/.test(contentType)) return;
  throw new RaftkvClientError(
    'bad_request',
    `The media type ${JSON.stringify(contentType)} holds a character that no header can. Nothing was changed; correct it.`,
  );
}

/** A duration as the server reads it: in whole milliseconds, or in seconds where it is long. */
export function durationText(seconds: number): string {
  return Number.isInteger(seconds) ? `${seconds}s` : `${Math.round(seconds * 1_000)}ms`;
}

/** What a key's absence is told by: undefined, or the server's refusal where the key must exist. */
export async function orUndefined<Result>(
  promise: Promise<Result>,
  mustExist: boolean | undefined,
): Promise<Result | undefined> {
  try {
    return await promise;
  } catch (error) {
    const absent = error instanceof RaftkvClientError && error.code === 'key_not_found';
    if (mustExist === true || !absent) throw error;
    return undefined;
  }
}
