import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { RaftkvError } from '../../src/errors.js';
import {
  type Forwarded,
  type ForwardedWork,
  forwarded,
  isForwardedCommand,
  patienceOf,
  readAnswer,
  serveForwarded,
  toJson,
} from '../../src/node/forwarded.js';

/** What nodes ask each other in JSON. */

const bytes = (text: string) => new TextEncoder().encode(text);
const member = { id: 'n4', peer: '10.0.0.4:7101' };
const request = { ...member, client: '', incarnation: '' };

/** Does nothing but tell what it was asked. */
function work() {
  const asked: unknown[] = [];
  const note = (request: unknown) => {
    asked.push(request);
    return {};
  };
  const table = Object.fromEntries(Object.keys(forwarded).map((name) => [name, note]));
  return { asked, table: table as unknown as ForwardedWork };
}

describe('what another node asks', () => {
  it.each<[Forwarded, unknown]>([
    ['addMember', request],
    ['removeMember', { id: 'n4', force: true }],
    ['promoteMember', { id: 'n4' }],
    ['setMembers', { members: [member], force: false }],
    ['planMembers', { kind: 'add', member }],
    ['planMembers', { kind: 'set', members: [member] }],
    ['planMembers', { kind: 'remove', id: 'n4' }],
    ['transferLeadership', {}],
    ['transferLeadership', { to: 'n2' }],
    ['raiseClusterVersion', { version: 2 }],
  ])('%s is taken as it is, without what it does not know', async (name, value) => {
    const { asked, table } = work();
    await serveForwarded(table, name, toJson({ ...(value as object), later: 1 }), 1, undefined);
    expect(asked).toEqual([value]);
  });

  it.each<[Forwarded, string]>([
    ['addMember', ''],
    ['addMember', '{'],
    ['addMember', 'null'],
    ['addMember', JSON.stringify({ ...request, id: {} })],
    ['addMember', JSON.stringify({ ...request, id: 'n4\n' })],
    ['addMember', JSON.stringify({ ...request, id: 'n'.repeat(64) })],
    ['addMember', JSON.stringify({ ...request, peer: 'nowhere' })],
    ['addMember', JSON.stringify({ ...request, peer: '0.0.0.0:7101' })],
    ['addMember', JSON.stringify({ ...request, peer: '10.0.0.4:70000' })],
    ['addMember', JSON.stringify({ ...request, client: 'http://a\r\nb' })],
    ['addMember', JSON.stringify({ ...request, incarnation: 7 })],
    ['removeMember', '{"id":"n4"}'],
    ['removeMember', '{"id":["n4"],"force":false}'],
    ['promoteMember', '{}'],
    ['setMembers', '{"members":[],"force":false}'],
    ['setMembers', '{"members":[null],"force":false}'],
    ['setMembers', JSON.stringify({ members: [member, member], force: false })],
    ['setMembers', JSON.stringify({ members: Array(10_001).fill(member), force: false })],
    ['planMembers', '{"kind":"grow"}'],
    ['planMembers', '{"kind":"add"}'],
    ['transferLeadership', '{"to":{}}'],
    ['raiseClusterVersion', '{"version":1e99}'],
  ])('%s is refused when it is %s', async (name, payload) => {
    const { asked, table } = work();
    await expect(serveForwarded(table, name, bytes(payload), 1, undefined)).rejects.toMatchObject({
      code: 'bad_request',
    });
    expect(asked).toEqual([]);
  });

  it('is refused or well-formed, whatever it is', async () => {
    const name = fc.constantFrom(...(Object.keys(forwarded) as Forwarded[]));
    await fc.assert(
      fc.asyncProperty(name, fc.oneof(fc.json(), fc.string()), async (operation, payload) => {
        const { table } = work();
        const outcome = await serveForwarded(table, operation, bytes(payload), 1, undefined).catch(
          (error) => error,
        );
        if (!(outcome instanceof Uint8Array)) expect(outcome).toBeInstanceOf(RaftkvError);
        try {
          readAnswer(operation, bytes(payload));
        } catch (error) {
          expect(error).toBeInstanceOf(RaftkvError);
        }
      }),
    );
  });

  test('is no command that a leader makes for itself', () => {
    expect((['put', 'txn', 'leaseRevoke', 'compact'] as const).every(isForwardedCommand)).toBe(true);
    expect((['tick', 'leaseExpire', 'raiseVersion'] as const).some(isForwardedCommand)).toBe(false);
  });

  test('has a time that is one', () => {
    expect(() => patienceOf(Number.NaN)).toThrow(expect.objectContaining({ code: 'bad_request' }));
    expect([-1, 0.5, 3000, Number.POSITIVE_INFINITY].map(patienceOf)).toEqual([0, 0.5, 3000, 3_600_000]);
  });
});

describe('what the leader answered', () => {
  const status = {
    ...member,
    client: 'http://10.0.0.4:8101',
    role: 'voter',
    leader: true,
    health: 'healthy',
    lastContactMs: 0.5,
  };

  it('is taken as it is', () => {
    expect(readAnswer('members', toJson([status]))).toEqual([status]);
    expect(readAnswer('readIndex', toJson({ index: 7 }))).toEqual({ index: 7 });
    expect(readAnswer('removeMember', new Uint8Array(0))).toBeUndefined();
  });

  it.each<[Forwarded, string, string]>([
    ['readIndex', '{"index":1.5}', 'unavailable'],
    ['readIndex', '{"index":-1}', 'unavailable'],
    ['readIndex', '', 'unavailable'],
    ['members', '[{"id":"n1"}]', 'unavailable'],
    ['members', JSON.stringify([{ ...status, client: 'javascript:alert(1)' }]), 'unavailable'],
    ['members', JSON.stringify([{ ...status, health: '\u001b[2J' }]), 'unavailable'],
    ['transferLeadership', '{}', 'outcome_unknown'],
    ['setMembers', '{"voters":null}', 'outcome_unknown'],
  ])('to %s is not believed when it is %s', (name, payload, code) => {
    expect(() => readAnswer(name, bytes(payload))).toThrow(expect.objectContaining({ code }));
  });
});
