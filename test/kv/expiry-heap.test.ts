import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ExpiryHeap } from '../../src/kv/expiry-heap.js';

const step = fc.oneof(
  fc.record({ kind: fc.constant('add'), expiresAtMs: fc.nat(50) }),
  fc.record({ kind: fc.constant('move'), at: fc.nat(30), expiresAtMs: fc.nat(50) }),
  fc.record({ kind: fc.constant('remove'), at: fc.nat(30) }),
);

describe('the heap of what expires', () => {
  it('knows at any time what is due, and what comes first', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80, size: 'max' }), fc.nat(50), (steps, nowMs) => {
        const heap = new ExpiryHeap<{ expiresAtMs: number; place: number }>();
        const members: { expiresAtMs: number; place: number }[] = [];
        for (const next of steps) {
          if (next.kind === 'add') {
            const member = { expiresAtMs: next.expiresAtMs, place: 0 };
            members.push(member);
            heap.add(member);
            continue;
          }
          const at = next.at % Math.max(1, members.length);
          const member = members[at];
          if (member === undefined) continue;
          if (next.kind === 'move') {
            member.expiresAtMs = next.expiresAtMs;
            heap.moved(member);
          } else {
            members.splice(at, 1);
            heap.remove(member);
          }
        }
        const sorted = members.map(({ expiresAtMs }) => expiresAtMs).sort((a, b) => a - b);
        const due = sorted.filter((time) => time <= nowMs);
        expect(heap.first?.expiresAtMs).toBe(sorted[0]);
        expect(heap.through(nowMs, 100).map(({ expiresAtMs }) => expiresAtMs)).toEqual(due);
        const some = heap.through(nowMs, 3).map(({ expiresAtMs }) => expiresAtMs);
        expect(some).toHaveLength(Math.min(3, due.length));
        // The first is always among them, so nothing waits for ever behind others.
        if (due.length > 0) expect(some[0]).toBe(due[0]);
      }),
    );
  });
});
