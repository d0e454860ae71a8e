import type { Endpoints } from './endpoints.js';
import { isMember, type MembersAnswer } from './members-call.js';
import { nowMs } from './timing.js';

/** Members are asked for when a node has answered and this much time has passed since they were. */
const everyMs = 60_000;
/** After a failure, which may come from a change of the members, they are asked for sooner. */
const afterFailureMs = 1_000;

/**
 * Learns the client URLs of all members while calls are made: beside them, never before them, and without a timer that would
 * have to be stopped.
 */
export class Discovery {
  private readonly endpoints: Endpoints;
  private readonly ask: (endpoint: string) => Promise<MembersAnswer>;
  private askedAtMs = Number.NEGATIVE_INFINITY;
  private hasFailed = false;
  private isAsking = false;
  /** The cluster of the first answer; members of another one are not taken for endpoints. */
  private cluster: string | null = null;

  constructor(endpoints: Endpoints, ask: (endpoint: string) => Promise<MembersAnswer>) {
    this.endpoints = endpoints;
    this.ask = ask;
  }

  /** A node has answered a call. */
  answered(endpoint: string): void {
    const restMs = this.hasFailed ? afterFailureMs : everyMs;
    if (this.isAsking || nowMs() < this.askedAtMs + restMs) return;
    this.isAsking = true;
    this.askedAtMs = nowMs();
    this.hasFailed = false;
    void this.learnFrom(endpoint);
  }

  /** An endpoint did not answer a call. */
  failed(): void {
    this.hasFailed = true;
  }

  private async learnFrom(endpoint: string): Promise<void> {
    try {
      const answer = await this.ask(endpoint);
      const { members, cluster } = answer;
      if (!isMember(answer)) return;
      this.cluster ??= cluster;
      if (cluster !== this.cluster) return;
      this.endpoints.learn(members.map(({ client }) => client));
    } catch {
      // Whatever it was: the endpoints stay what they are, and another call will ask again.
      this.hasFailed = true;
    } finally {
      this.isAsking = false;
    }
  }
}
