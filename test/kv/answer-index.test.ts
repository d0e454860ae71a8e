import { describe, expect, it } from 'vitest';
import { AnswerIndex } from '../../src/kv/answer-index.js';
import { AnswerRecord } from '../../src/kv/answer-records.js';

const keyOf = (number: number) => `request-${number}-4b1d-9c3e`;

/** An index of answers from `first` on, so many to a record. */
function fill(index: AnswerIndex, first: number, count: number, perRecord: number): AnswerRecord[] {
  const records: AnswerRecord[] = [];
  for (let number = first; number < first + count; number += perRecord) {
    const record = new AnswerRecord(number + perRecord - 1);
    for (let at = number; at < number + perRecord; at += 1) index.add(keyOf(at), record);
    records.push(record);
  }
  return records;
}

describe('the index of answers', () => {
  it('knows the record of every key, and seldom names another', () => {
    const index = new AnswerIndex({ tablesMax: 100, slotsMax: 2 ** 14 });
    const records = fill(index, 0, 100_000, 50);
    let known = 0;
    let others = 0;
    for (const [at, record] of records.entries()) {
      for (let number = 50 * at; number < 50 * at + 50; number += 1) {
        const found = index.find(keyOf(number));
        if (found.includes(record)) known += 1;
        others += found.length - 1 + index.find(`other-${number}`).length;
      }
    }
    expect(known).toBe(100_000);
    // Nine tables, in which a key meets about eight others each, and 16 bits that are not alike.
    expect(others).toBeLessThan(200_000 * 0.004);
  });

  it('tells apart keys that differ little', () => {
    const index = new AnswerIndex({ tablesMax: 100, slotsMax: 2 ** 12 });
    const keys = Array.from({ length: 2000 }, (_, at) => String.fromCharCode(33 + (at % 90), 33 + at / 90));
    for (const [at, key] of keys.entries()) index.add(key, new AnswerRecord(at));
    const found = keys.map((key) => index.find(key).length);
    expect(found.reduce((sum, count) => sum + count, 0)).toBeLessThan(1.02 * keys.length);
  });

  it('names the newest record first, and each once', () => {
    const index = new AnswerIndex({ tablesMax: 100, slotsMax: 4 });
    const records = [1, 2, 3, 4, 5].map((number) => new AnswerRecord(number));
    for (const record of records) {
      index.add('k', record);
      index.add('k', record);
    }
    expect(index.find('k')).toEqual(records.reverse());
  });

  it('says which answers are too many, and forgets them when they have left', () => {
    const index = new AnswerIndex({ tablesMax: 2, slotsMax: 4 });
    // Three keys fill a table.
    const records = fill(index, 1, 6, 1);
    expect(index.surplus).toBe(0);
    fill(index, 7, 1, 1);
    expect(index.surplus).toBe(3);
    index.drop(2);
    expect(index.find(keyOf(1))).toEqual([records[0]]);
    index.drop(3);
    expect([index.surplus, ...[1, 3, 4].map((number) => index.find(keyOf(number)))]).toEqual([
      0,
      [],
      [],
      [records[3]],
    ]);
  });

  it('has as many records in a table as a slot can name', () => {
    const index = new AnswerIndex({ tablesMax: 1, slotsMax: 2 ** 17 });
    // The smaller tables before it are filled first.
    const records = fill(index, 0, 200_000, 1);
    for (const number of [0, 60_000, 70_000, 120_000, 140_000, 199_999]) {
      expect(index.find(keyOf(number))).toContain(records[number]);
    }
  });
});
