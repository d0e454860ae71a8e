import type { RaftkvClientError } from '../client/index.js';

/**
 * What a server says speaks of HTTP, because it does not know who asked. Here the same is said in the words of the command
 * line.
 *
 * @param command The full name of the command, such as `member remove`.
 */
export function inWords(error: RaftkvClientError, command: string): string {
  const said = sentenceOf(error, command);
  if (said !== undefined) return said;
  // Of all commands, only this one is given the JSON that is sent.
  const detail = command === 'txn' ? error.detail : error.detail.replace(exampleOfJson, '');
  return phrases.reduce((text, [from, to]) => text.replaceAll(from, to), detail);
}

const exampleOfJson = / Send JSON such as .*$/;

/** The codes that need more than another word. */
function sentenceOf({ code, problem }: RaftkvClientError, command: string): string | undefined {
  const { revision, value, token, lease } = problem;
  const isDelete = command === 'delete';
  switch (code) {
    case 'key_not_found':
      return isDelete
        ? 'There is no such key. Nothing was deleted.'
        : 'There is no such key at this revision. raftkv put creates it.';
    case 'precondition_failed':
      if (revision === 0) {
        const next = isDelete ? '' : '; leave --if-revision out to create it';
        return `The key does not exist. Nothing was changed${next}.`;
      }
      return (
        `The key exists with revision ${revision}. Nothing was changed; read it again with raftkv get --json and ` +
        'decide anew.'
      );
    case 'lock_held': {
      const holder =
        typeof value === 'string' && value !== ''
          ? `${JSON.stringify(value)} (token ${token})`
          : 'Somebody else';
      return `${holder} holds the lock. Try again later, or stand in line for it with --wait 10s.`;
    }
    case 'lease_not_found':
      return (
        `There is no lease ${lease}: it has run out, was revoked, or never was. Nothing was changed; raftkv lease grant ` +
        'makes one.'
      );
    default:
      return undefined;
  }
}

/** Longer ones first: some are parts of others. */
const phrases: readonly (readonly [RegExp, string])[] = [
  [/^The body /g, 'What was given '],
  [/^The path must name a lease by .*$/g, 'Name a lease by the whole number that raftkv lease grant gave.'],
  [/^The path must name /g, 'Give '],
  [/^Content-Type /g, '--content-type '],
  [/^"lease" /g, '--lease '],
  [/: DELETE \/v1\/kv\?prefix=….*$/g, '.'],
  [/ Write it after \/v1\/.*$/g, ' Give one.'],
  [/locks are taken and released at \/v1\/locks\/<name>/g, 'raftkv lock takes and releases locks'],
  [/POST \/v1\/compact, or raftkv compact/g, 'raftkv compact'],
  [/GET \/v1\/status/g, 'raftkv status'],
  [/GET \/v1\/members/g, 'raftkv member list'],
  [/POST \/v1\/leases/g, 'raftkv lease grant'],
  [/\bforce=true\b/g, '--force'],
  [/"?\bfromRevision\b"?/g, '--from-revision'],
  [/"?\bminRevision\b"?/g, '--min-revision'],
  [/"?\bwaitSeconds\b"?/g, '--wait'],
  [/"?\bttlSeconds\b"?/g, '--ttl'],
  [/"timeout"/g, '--timeout'],
  [/"revision"/g, '--revision'],
  [/If-None-Match: \*/g, '--if-absent'],
  [/\bIf-Match\b/g, '--if-revision'],
  [/\bPUT\b/g, 'raftkv put'],
  [/\bDELETE\b/g, 'raftkv delete'],
];
