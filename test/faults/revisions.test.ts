import { expect, it } from 'vitest';
import { Revisions } from '../e2e/revisions.js';

it('revisions that grow with time and never change are right', () => {
  const revisions = new Revisions();
  revisions.acknowledged(1, 0, 'a = 1');
  revisions.acknowledged(3, 1, 'a = 3');
  // Asked for before 3 was given, so it may be below.
  revisions.acknowledged(2, 1, 'b = 2');
  revisions.answered(3, 3, 'A read of a');
  revisions.note(3, 'a = 3');
  expect(revisions.violations).toEqual([]);
  expect(revisions.floor).toBe(3);
});

it('a change below what was given before it was asked for is wrong', () => {
  const revisions = new Revisions();
  revisions.acknowledged(7, 0, 'a = 7');
  revisions.acknowledged(6, revisions.floor, 'a = 6');
  expect(revisions.violations).toHaveLength(1);
});

it('two changes at one revision are wrong, and so is one that changes', () => {
  const revisions = new Revisions();
  revisions.acknowledged(1, 0, 'a = 1');
  revisions.acknowledged(1, 0, 'b = 1');
  revisions.note(1, 'a = 2');
  expect(revisions.violations).toHaveLength(2);
});

it('an answer from before what it had to show is wrong', () => {
  const revisions = new Revisions();
  revisions.answered(4, 5, 'A read of a');
  expect(revisions.violations).toHaveLength(1);
});
