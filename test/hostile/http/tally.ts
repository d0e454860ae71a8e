import type { Answer } from './connection.js';

const FAULTS_KEPT = 5;
const REQUEST_SHOWN = 300;

/** What was sent, and what came back. */
export class Tally {
  requests = 0;
  /** Connections that a node did not take. */
  refusedConnections = 0;
  readonly clients = new Map<string, number>();
  readonly statuses = new Map<number, number>();
  /** Answers that blame the node: each is a bug. */
  readonly faults: string[] = [];

  begin(client: string): void {
    this.clients.set(client, (this.clients.get(client) ?? 0) + 1);
  }

  sent(count: number): void {
    this.requests += count;
  }

  refused(): void {
    this.refusedConnections += 1;
  }

  answered(answer: Answer | undefined, request: Buffer): void {
    if (answer === undefined) return;
    const { status, text } = answer;
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    if (status !== 500 || this.faults.length >= FAULTS_KEPT) return;
    this.faults.push(`${request.toString('latin1', 0, REQUEST_SHOWN)}\nwas answered with\n${text}`);
  }
}
