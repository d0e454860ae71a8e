import { expect, it } from 'vitest';
import { Revisions } from '../e2e/revisions.js';

it('revisions that grow with time and never change are right', () => {
  const revisions = new Revisions();
  revisions.acknowledged(1, 0, { a: '1' });
  revisions.acknowledged(3, 1, { a: '3' });
  // Asked for before 3 was given, so it may be below.
  revisions.acknowledged(2, 1, { b: '2' });
  revisions.answered(3, 3, 'A read of a');
  revisions.note(3, { a: '3' });
  revisions.note(4, { a: null });
  revisions.note(4, { b: '4' });
  revisions.acknowledged(4, 3, { a: null, b: '4' });
  expect(revisions.violations).toEqual([]);
  expect(revisions.floor).toBe(4);
});

it('a change below what was given before it was asked for is wrong', () => {
  const revisions = new Revisions();
  revisions.acknowledged(7, 0, { a: '7' });
  revisions.acknowledged(6, revisions.floor, { a: '6' });
  expect(revisions.violations).toHaveLength(1);
});

it('an event that was shown before its time is wrong: what is asked for afterwards is above it', () => {
  const revisions = new Revisions();
  revisions.note(9, { a: '9' });
  revisions.answered(8, revisions.floor, 'A read of a');
  expect(revisions.violations).toHaveLength(1);
});

it('two changes at one revision are wrong, and so is one that changes', () => {
  const revisions = new Revisions();
  revisions.acknowledged(1, 0, { a: '1' });
  revisions.acknowledged(1, 0, { b: '1' });
  expect(revisions.violations).not.toEqual([]);
  const changing = new Revisions();
  changing.note(1, { a: '1' });
  changing.note(1, { a: '2' });
  expect(changing.violations).toHaveLength(1);
});

it('a change of more keys, or of fewer, than was acknowledged is wrong', () => {
  const more = new Revisions();
  more.acknowledged(1, 0, { a: '1' });
  more.note(1, { b: '1' });
  expect(more.violations).toHaveLength(1);
  const before = new Revisions();
  before.note(1, { b: '1' });
  before.acknowledged(1, 0, { a: '1' });
  expect(before.violations).toHaveLength(1);
});

it('an answer from before what it had to show is wrong', () => {
  const revisions = new Revisions();
  revisions.answered(4, 5, 'A read of a');
  expect(revisions.violations).toHaveLength(1);
});
