import { beforeEach, describe, expect, it } from 'vitest';
import { LeaderReads } from '../../src/node/leader-reads.js';
import { DEADLINE_TICKS, GATHER_COUNT, GATHER_MS, READ_RETRY_MS, TICK_MS } from '../../src/node/limits.js';
import { noLeader, readUnavailable, shuttingDown } from '../../src/node/waiting.js';
import { FakeClock } from './fake-clock.js';

interface Question {
  readonly timeoutMs: number;
  resolve(index: number): void;
  reject(error: Error): void;
}

let clock: FakeClock;
let questions: Question[];
let reads: LeaderReads;
let mayRecover: boolean;

beforeEach(() => {
  clock = new FakeClock();
  questions = [];
  mayRecover = true;
  reads = new LeaderReads(
    clock,
    (timeoutMs) =>
      new Promise((resolve, reject) => {
        questions.push({ timeoutMs, resolve, reject });
      }),
    () => mayRecover,
  );
});

/** What became of a read, as text. */
function read(timeoutMs: number): { value: string } {
  const outcome = { value: 'waits' };
  reads.index(timeoutMs).then(
    (index) => {
      outcome.value = `${index}`;
    },
    (error: { code: string }) => {
      outcome.value = error.code;
    },
  );
  return outcome;
}

function question(number: number): Question {
  const found = questions[number];
  if (found === undefined) throw new Error(`Question ${number} was not asked.`);
  return found;
}

describe('reads that need the leader', () => {
  it('share the next question, never one that was asked before they came (row 18)', async () => {
    const first = read(1000);
    const second = read(1000);
    const third = read(1000);
    expect(questions.length).toBe(1);
    question(0).resolve(7);
    await clock.settle();
    expect([first.value, second.value, third.value]).toEqual(['7', 'waits', 'waits']);
    await clock.pass(GATHER_MS);
    expect(questions.length).toBe(2);
    question(1).resolve(9);
    await clock.settle();
    expect([second.value, third.value]).toEqual(['9', '9']);
  });

  it('wait for those who were just answered, and for nobody when nothing was under way', async () => {
    read(1000);
    question(0).resolve(1);
    await clock.settle();
    read(1000);
    expect(questions.length).toBe(2);
    read(1000);
    question(1).resolve(2);
    await clock.settle();
    expect(questions.length).toBe(2);
    read(1000);
    expect(questions.length).toBe(3);
    question(2).resolve(3);
    await clock.pass(GATHER_MS);
    expect(questions.length).toBe(3);
    read(1000);
    expect(questions.length).toBe(4);
  });

  it('wait for company only so long, and only for so many', async () => {
    for (let count = 0; count <= 2 * GATHER_COUNT; count += 1) read(1000);
    question(0).resolve(1);
    await clock.settle();
    expect(questions.length).toBe(2);
    question(1).resolve(2);
    await clock.settle();
    const lonely = read(1000);
    await clock.pass(GATHER_MS - 1);
    expect(questions.length).toBe(2);
    await clock.pass(1);
    expect(questions.length).toBe(3);
    question(2).resolve(3);
    await clock.settle();
    expect(lonely.value).toBe('3');
  });

  it('are asked for as long as the most patient of them waits', async () => {
    read(1);
    const impatient = read(1);
    const patient = read(5000);
    question(0).reject(noLeader());
    await clock.pass(READ_RETRY_MS);
    expect(questions.map(({ timeoutMs }) => timeoutMs)).toEqual([1, 5000 - READ_RETRY_MS]);
    await clock.pass(DEADLINE_TICKS * TICK_MS);
    expect([impatient.value, patient.value]).toEqual(['unavailable', 'waits']);
    question(1).resolve(3);
    await clock.settle();
    expect(patient.value).toBe('3');
  });

  it('give up at their own deadline, whatever the question before them waits for', async () => {
    const patient = read(60_000);
    const impatient = read(100);
    await clock.pass(100 + DEADLINE_TICKS * TICK_MS);
    expect([patient.value, impatient.value]).toEqual(['waits', 'unavailable']);
  });

  it('do not wait for a question that everybody gave up on', async () => {
    read(100);
    const later = read(60_000);
    await clock.pass(100 + DEADLINE_TICKS * TICK_MS);
    expect(questions.length).toBe(2);
    question(0).resolve(1);
    await clock.settle();
    expect(later.value).toBe('waits');
    question(1).resolve(2);
    await clock.settle();
    expect(later.value).toBe('2');
  });

  it('are asked again when another node leads, and the old answer is of no use', async () => {
    const asked = read(1000);
    reads.leaderChanged();
    expect(questions.length).toBe(2);
    question(0).reject(noLeader());
    await clock.settle();
    expect(asked.value).toBe('waits');
    question(1).resolve(4);
    await clock.settle();
    expect(asked.value).toBe('4');
  });

  it('wait for the next leader where nobody leads or the leader is gone, within their own time', async () => {
    const asked = read(1000);
    const impatient = read(100);
    question(0).reject(noLeader());
    await clock.settle();
    expect(asked.value).toBe('waits');
    reads.leaderChanged();
    question(1).reject(readUnavailable());
    await clock.pass(100 + DEADLINE_TICKS * TICK_MS);
    expect([asked.value, impatient.value]).toEqual(['waits', 'unavailable']);
    question(questions.length - 1).resolve(4);
    await clock.settle();
    expect(asked.value).toBe('4');
  });

  it('are not asked again in the same moment, whoever joins them', async () => {
    read(1000);
    question(0).reject(noLeader());
    await clock.settle();
    read(1000);
    await clock.pass(READ_RETRY_MS - 1);
    expect(questions.length).toBe(1);
    await clock.pass(1);
    expect(questions.length).toBe(2);
  });

  it('hear at once what no other leader would mend', async () => {
    const asked = read(1000);
    question(0).reject(shuttingDown());
    await clock.settle();
    expect(asked.value).toBe('shutting_down');
    mayRecover = false;
    const quarantined = read(1000);
    question(1).reject(readUnavailable());
    await clock.settle();
    expect(quarantined.value).toBe('unavailable');
  });
});
