import type { Answer, Call, Outcome } from './call.js';
import {
  type EndpointFailure,
  errorOfAnswer,
  isOfNode,
  isPassing,
  NotReachableError,
  notRaftkv,
  RaftkvClientError,
} from './errors.js';
import { nowMs } from './timing.js';
import { textOf } from './wire.js';

/** An attempt that leaves time for another one gets at least so much of what is left. */
const attemptMsMin = 1_000;

/** The longest `timeout` that a server takes. A call that has more time is made of several attempts. */
const serverTimeoutMsMax = 3_600_000;

/** How much longer than the server's own deadline the last answer is waited for. */
const answerMarginMs = 1_000;

/** The attempts of one call: how much time is left, and what can be said of the call when it is up. */
export class Attempts {
  /** The same for every attempt, with the one idempotency key. */
  readonly headers: Readonly<Record<string, string>>;
  private readonly call: Call;
  private readonly deadlineMs: number;
  private failures: EndpointFailure[] = [];
  private refusal: RaftkvClientError | undefined;
  /** Set once the change may have been made, and why it is not known. */
  private unknown: RaftkvClientError | undefined;
  private reachedNow = false;

  constructor(call: Call, timeoutMs: number) {
    this.call = call;
    this.deadlineMs = nowMs() + timeoutMs;
    const key = call.repeat === 'keyed' ? { 'Idempotency-Key': crypto.randomUUID() } : {};
    this.headers = { ...call.headers, ...key };
  }

  leftMs(): number {
    return this.deadlineMs - nowMs();
  }

  /**
   * How long one attempt may take: half of what is left, so that one node that hangs does not cost the whole call. The answer
   * to the last attempt is waited for a little longer than the server takes, because it may tell what became of the call.
   */
  share(alone: boolean): { readonly serverMs: number; readonly answerMs: number } {
    const waitMs = this.call.waitMs ?? 0;
    const leftMs = Math.min(Math.max(1, this.leftMs()), serverTimeoutMsMax + waitMs);
    const lastsMs = attemptMsMin + waitMs;
    if (alone || this.call.repeat === 'never' || leftMs <= lastsMs) {
      return { serverMs: Math.min(leftMs, serverTimeoutMsMax), answerMs: leftMs + answerMarginMs };
    }
    const shareMs = Math.max(leftMs / 2, lastsMs);
    return { serverMs: Math.min(shareMs, serverTimeoutMsMax), answerMs: shareMs };
  }

  beginRound(): void {
    this.failures = [];
    this.reachedNow = false;
  }

  /** Whether nothing that was sent in this round can have reached anybody. */
  reachedNobody(): boolean {
    return !this.reachedNow;
  }

  /** The answer where the outcome is one; undefined where the call is to be repeated. Throws what is final. */
  judge(endpoint: string, outcome: Outcome): Answer | undefined {
    if (outcome.kind !== 'answered') {
      this.failed(endpoint, outcome.kind === 'failed' ? outcome : { reason: 'redirected', sent: true });
      return undefined;
    }
    this.reachedNow = true;
    const { answer } = outcome;
    if (answer.status < 400) {
      // Whatever it says, it would be taken for a value, or for a change that was made.
      if (!isOfNode(answer.headers)) throw notRaftkv(answer.status);
      return answer;
    }
    const error = errorOfAnswer(answer.status, textOf(answer.body));
    if (error.code === 'not_raftkv' && answer.status >= 502 && answer.status <= 504) {
      // A proxy that could not reach the node, or lost it.
      this.failed(endpoint, { reason: `status ${answer.status}`, sent: true });
      return undefined;
    }
    if (error.code === 'outcome_unknown' && this.call.repeat !== 'never') {
      this.unknown = error;
      return undefined;
    }
    if (!isPassing(error)) throw this.explained(error);
    this.refusal = error;
    return undefined;
  }

  failed(endpoint: string, { reason, sent }: { readonly reason: string; readonly sent: boolean }): void {
    this.failures.push({ endpoint, reason });
    if (!sent) return;
    this.reachedNow = true;
    if (this.call.method === 'GET' || this.call.reads === true) return;
    this.unknown ??= new RaftkvClientError(
      'outcome_unknown',
      `${endpoint} did not answer (${reason}) after the request was sent, so it is not known whether the change was made. ` +
        'Read before trying again.',
    );
    if (this.call.repeat === 'never') throw this.unknown;
  }

  /** What to tell when the time is up. */
  failure(): RaftkvClientError {
    return this.unknown ?? this.refusal ?? new NotReachableError(this.failures);
  }

  /** A server that does not know the header would make a repeated change twice. */
  private explained(error: RaftkvClientError): RaftkvClientError {
    if (
      this.call.repeat !== 'keyed' ||
      error.code !== 'bad_request' ||
      !error.detail.includes('Idempotency-Key')
    )
      return error;
    return new RaftkvClientError(
      'idempotency_unsupported',
      'This server does not know the header Idempotency-Key, without which a change cannot be repeated safely. Nothing ' +
        'was changed. Upgrade it, or make the change with curl.',
      error.status,
      error.problem,
    );
  }
}
