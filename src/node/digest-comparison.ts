import type { Clock, Timer } from '../clock.js';
import { hasMajority } from '../raft/quorum.js';
import type { Configuration, Index, NodeId } from '../raft/types.js';
import type { NodeLogger } from './contracts.js';
import type { DigestWindow } from './digest-window.js';
import {
  DIGEST_COMPARISON_MS,
  DIGEST_CONFIRMATION_MS,
  DIGEST_SETTLE_MS,
  DIGEST_TIMEOUT_MS,
} from './limits.js';

export interface DigestComparisonParts {
  readonly clock: Clock;
  readonly logger: NodeLogger;
  readonly id: NodeId;
  readonly digests: DigestWindow;
  readonly configuration: () => Configuration;
  /** Asks another member for its digests at these indexes; null for those that it does not know. */
  readonly ask: (
    to: NodeId,
    indexes: readonly Index[],
    timeoutMs: number,
  ) => Promise<readonly (number | null)[]>;
  /** Where the records of keys differ from those of another member, a sentence; '' where it is not known. */
  readonly compareRecords: (to: NodeId, timeoutMs: number) => Promise<string>;
  /** The state here is not the one of the majority. */
  readonly quarantine: (reason: string) => void;
  /** Uniform in [0, 1): members compare at different times. */
  readonly random: () => number;
}

/**
 * Each member compares the digest of its state with those of the others, at the same index. States are a function of the log, so a
 * digest that differs means that one of them is wrong: a disk, a memory or a program made a mistake that no checksum found.
 *
 * - A member that differs from a strict majority of the voters, at two indexes one after the other, goes into quarantine. It names
 *   the first entry after which its digest differs.
 * - Where no digest has a majority, nobody knows who is right: members only say so.
 * - A member that does not answer, or cannot compare its digest, counts for nobody. Versions that do not know the question refuse it.
 */
export class DigestComparison {
  /** Members whose digest differed from the one here when they were asked last. */
  differing: readonly NodeId[] = [];
  private timer: Timer | null = null;
  private isStopped = false;
  /** Whether the last comparison found this member to differ from a majority. */
  private isSuspect = false;
  private told = '';

  constructor(private readonly parts: DigestComparisonParts) {}

  start(): void {
    this.next(DIGEST_CONFIRMATION_MS);
  }

  stop(): void {
    this.isStopped = true;
    this.timer?.cancel();
  }

  private next(delayMs: number): void {
    if (this.isStopped) return;
    const staggeredMs = delayMs * (1 + this.parts.random());
    this.timer = this.parts.clock.after(staggeredMs, () => {
      this.compare().then(
        () => this.next(this.isSuspect ? DIGEST_CONFIRMATION_MS : DIGEST_COMPARISON_MS),
        (error: unknown) => {
          this.parts.logger.warn({ err: error }, 'The digests of the members could not be compared.');
          this.next(DIGEST_COMPARISON_MS);
        },
      );
    });
  }

  private async compare(): Promise<void> {
    const { clock, configuration, digests, id } = this.parts;
    const index = digests.lastIndex;
    if (index === undefined) return;
    // The others need a moment to apply what this one has.
    await new Promise<void>((resolve) => clock.after(DIGEST_SETTLE_MS, () => resolve()));
    const others = configuration()
      .members.map((member) => member.id)
      .filter((other) => other !== id);
    const answers = new Map<NodeId, number>();
    await Promise.all(
      others.map(async (other) => {
        const [digest] = await this.digestsOf(other, [index]);
        if (digest !== undefined && digest !== null) answers.set(other, digest);
      }),
    );
    // Replaced meanwhile, by a snapshot, or overtaken by very many entries.
    const own = digests.at(index);
    if (this.isStopped || own === null) return;
    this.differing = [...answers].flatMap(([other, digest]) => (digest === own ? [] : [other])).sort();
    const digestOf = (member: NodeId) => (member === id ? own : answers.get(member));
    const winner = [...new Set([own, ...answers.values()])].find((digest) =>
      hasMajority(configuration(), (voter) => digestOf(voter) === digest),
    );
    if (winner === undefined || winner === own) {
      this.isSuspect = false;
      await this.report(index, winner === own);
      return;
    }
    if (!this.isSuspect) {
      this.isSuspect = true;
      return;
    }
    const right = others.find((other) => answers.get(other) === winner);
    const since = right === undefined ? undefined : await this.firstDifference(right, index);
    const where = right === undefined ? '' : await this.whereDifferent(right);
    if (this.isStopped) return;
    // From here on this member can only be replaced.
    this.stop();
    const majority = [...answers].flatMap(([other, digest]) => (digest === winner ? [other] : [])).sort();
    this.parts.quarantine(
      `After entry ${index} the digest of this state is ${hex(own)}, and that of ${majority.join(', ')}, with a majority of the ` +
        `voters, is ${hex(winner)}. ${since ?? 'Since when is not known.'}${where} Remove this member from the cluster, keep its data ` +
        'directory for an analysis, and start it with --join and an empty one.',
    );
  }

  /** Which entry was the first after which the digests differ, by halving what both members remember. */
  private async firstDifference(other: NodeId, index: Index): Promise<string | undefined> {
    const { digests } = this.parts;
    let same = digests.firstIndex;
    let different = index;
    const [theirs] = await this.digestsOf(other, [same]);
    if (theirs === undefined || theirs === null) return undefined;
    if (theirs !== digests.at(same))
      return `They have differed since entry ${same}, or since an earlier one.`;
    while (different - same > 1) {
      const middle = Math.floor((same + different) / 2);
      const [answer] = await this.digestsOf(other, [middle]);
      const own = digests.at(middle);
      if (answer === undefined || answer === null || own === null) return undefined;
      if (answer === own) same = middle;
      else different = middle;
    }
    return `The first entry after which they differ is ${different}.`;
  }

  /** In which records of keys, a sentence after a space; '' where the other member cannot say. */
  private async whereDifferent(other: NodeId): Promise<string> {
    try {
      const where = await this.parts.compareRecords(other, DIGEST_TIMEOUT_MS);
      return where === '' ? '' : ` Compared with ${other}: ${where}`;
    } catch {
      return '';
    }
  }

  /** Nothing from a member that is not there, or does not know the question. */
  private async digestsOf(other: NodeId, indexes: readonly Index[]): Promise<readonly (number | null)[]> {
    try {
      return await this.parts.ask(other, indexes, DIGEST_TIMEOUT_MS);
    } catch {
      return [];
    }
  }

  /** Says once who differs. */
  private async report(index: Index, isWithMajority: boolean): Promise<void> {
    const who = this.differing.join(', ');
    const isNew = who !== '' && who !== this.told;
    this.told = who;
    const [first] = this.differing;
    if (isNew && first !== undefined) {
      const where = await this.whereDifferent(first);
      this.parts.logger.warn(
        { index, members: this.differing },
        `After entry ${index} the digest of ${who} is another than the one here. ` +
          (isWithMajority
            ? 'A majority of the voters agrees with this member.'
            : 'No digest has a majority of the voters, so nobody knows which is right: compare them in GET /v1/status.') +
          where,
      );
    }
  }
}

function hex(digest: number): string {
  return digest.toString(16).padStart(8, '0');
}
