import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandResult } from '../../../src/kv/types.js';
import { textOf } from '../../../src/sim/bytes.js';
import { MadeOnce } from '../../../src/sim/checkers/made-once.js';
import type { Prng } from '../../../src/sim/prng.js';
import type { Revisions } from '../../e2e/revisions.js';
import { type Asker, documentOf, type Question, type Reply } from './asker.js';
import { violationOf } from './judge.js';
import type { RecordedStates } from './recorded-states.js';

const KEYS = 3;
const PREFIX = 'once/';
const PAUSE_MS_MAX = 100;
/** The share of steps that ask once more for what was answered, and of these how many ask for something else under its key. */
const REPEAT_RATE = 0.5;
const MISMATCH_RATE = 0.2;
/** The share of requests that two nodes are asked for at the same time. */
const TWICE_RATE = 0.2;
const REMEMBERED_MAX = 500;

/** One change under an idempotency key, and the first answer to it. */
export interface Once {
  readonly name: string;
  readonly result: CommandResult;
}

interface Asked {
  readonly name: string;
  readonly key: string;
  readonly kind: 'put' | 'putIfAbsent' | 'delete';
  readonly question: Question;
}

/** Clients that ask for changes of keys that they share, each under an idempotency key, until they are answered, and again later. */
export class Repeaters {
  readonly answered: Once[] = [];
  readonly violations: string[] = [];
  repeats = 0;
  mismatches = 0;
  private readonly madeOnce = new MadeOnce();
  private readonly asked: Asked[] = [];
  private isStopping = false;

  constructor(
    private readonly asker: Asker,
    private readonly random: Prng,
    private readonly revisions: Revisions,
  ) {}

  async run(client: number): Promise<void> {
    const random = this.random.fork(`repeaters ${client}`);
    for (let count = 0; !this.isStopping; count += 1) {
      const earlier = random.chance(REPEAT_RATE) ? random.pick(this.asked) : undefined;
      if (earlier === undefined) await this.change(`${client}-${count}`, random);
      else if (random.chance(MISMATCH_RATE)) await this.mismatch(earlier);
      else await this.repeat(earlier);
      await sleep(random.between(0, PAUSE_MS_MAX));
    }
  }

  stop(): void {
    this.isStopping = true;
  }

  private async change(name: string, random: Prng): Promise<void> {
    const key = `${PREFIX}${random.integer(1, KEYS)}`;
    const kind = random.pick(['put', 'put', 'putIfAbsent', 'delete'] as const) ?? 'put';
    const asked = { name, key, kind, question: questionOf(name, key, kind) };
    const { floor } = this.revisions;
    const times = random.chance(TWICE_RATE) ? [0, 1] : [0];
    const replies = await Promise.all(times.map(() => this.asker.untilAnswered(asked.question)));
    const [first, ...others] = replies.map((reply) => resultOf(asked, reply));
    if (first === undefined) return;
    for (const result of [first, ...others]) this.note(name, result);
    this.answered.push({ name, result: first });
    if (first.revision > 0) {
      this.revisions.acknowledged(first.revision, floor, { [key]: kind === 'delete' ? null : name });
    }
    this.asked.push(asked);
    if (this.asked.length > REMEMBERED_MAX) this.asked.shift();
  }

  private async repeat(asked: Asked): Promise<void> {
    const reply = await this.asker.once(asked.question);
    if (reply === undefined) return;
    this.repeats += 1;
    this.note(asked.name, resultOf(asked, reply));
  }

  /** Another request under a key that was used. */
  private async mismatch({ name, question }: Asked): Promise<void> {
    const reply = await this.asker.once({ ...question, method: 'PUT', body: `not ${name}` });
    if (reply === undefined) return;
    this.mismatches += 1;
    if (reply.status !== 422)
      this.violations.push(
        `Another request under the key of ${name} was answered with ${reply.status}: ${reply.text}`,
      );
  }

  private note(name: string, result: CommandResult): void {
    const wrong = violationOf(() => this.madeOnce.answered(name, result));
    if (wrong !== undefined) this.violations.push(wrong);
  }
}

function questionOf(name: string, key: string, kind: Asked['kind']): Question {
  const path = `/v1/kv/${key}`;
  const headers = { 'idempotency-key': `once ${name}` };
  if (kind === 'delete') return { method: 'DELETE', path, headers };
  const condition = kind === 'put' ? {} : { 'if-none-match': '*' };
  return { method: 'PUT', path, headers: { ...headers, ...condition }, body: name };
}

/** As the store says it. A revision of 0 stands for none: nothing was changed. */
function resultOf({ kind, question }: Asked, reply: Reply): CommandResult {
  const answer = documentOf<{ readonly revision?: number; readonly created?: boolean }>(
    question,
    reply,
    ...(kind === 'delete' ? [200, 404] : [200, 201, 412]),
  );
  const { revision = 0, created = false } = answer;
  if (reply.status === 412) return { kind: 'preconditionFailed', revision: 0, modRevision: revision };
  if (kind !== 'delete') return { kind: 'put', revision, created };
  if (reply.status === 404) return { kind: 'delete', revision: 0, deleted: 0 };
  return { kind: 'delete', revision, deleted: 1 };
}

/** What was put twice, or was put and answered with a refusal. What was acknowledged and is not there others look for. */
export function judgeRepeaters(answered: readonly Once[], states: RecordedStates): readonly string[] {
  const madeOnce = new MadeOnce();
  const refused = new Set(answered.filter(({ result }) => result.revision === 0).map(({ name }) => name));
  const wrong: string[] = [];
  for (let revision = 1; revision <= states.revision; revision += 1) {
    for (const [key, item] of states.changesOf(revision)) {
      if (!key.startsWith(PREFIX) || item === undefined) continue;
      const name = textOf(item.value);
      const idempotency = { key: name, fingerprint: item.key };
      const command = {
        kind: 'put',
        key: item.key,
        value: item.value,
        contentType: '',
        idempotency,
      } as const;
      const violation = violationOf(() =>
        madeOnce.performed(revision, command, { kind: 'put', revision, created: item.version === 1 }),
      );
      if (violation !== undefined) wrong.push(violation);
      if (refused.has(name))
        wrong.push(`The put of ${name} was refused, and was made at revision ${revision}.`);
    }
  }
  return wrong;
}
