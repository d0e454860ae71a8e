import { RaftkvError } from '../errors.js';
import type { NodeId } from '../raft/types.js';
import type { SnapshotAnswer, SnapshotHeader } from '../transport/contract.js';
import { TraceKind } from './trace.js';
import type { Breakable, Endpoint, Wires } from './wires.js';

/** A part of a snapshot on its way, and how the sender learns that it was taken. */
interface Part {
  readonly chunk: Uint8Array | null;
  taken(): void;
}

/**
 * One snapshot on its way between two processes: the next chunk leaves when the last one was taken. A cut link or the
 * end of either process breaks it on both sides, in the middle of a chunk or while the answer is on its way.
 */
export class SnapshotCall implements Breakable {
  private readonly target: Endpoint | undefined;
  private brokenBy: RaftkvError | null = null;
  /** The sender has given up, of which the receiver will never hear: it has everything. */
  private isReset = false;
  private readonly arrived: Part[] = [];
  /** Wakes the receiver that waits for a chunk. */
  private wakeReceiver: () => void = () => {};
  private rejectSender: (error: RaftkvError) => void = () => {};

  constructor(
    private readonly network: Wires,
    private readonly source: Endpoint,
    private readonly to: NodeId,
    private readonly header: SnapshotHeader,
    abort: AbortSignal,
  ) {
    this.target = network.endpoint(to);
    abort.addEventListener('abort', () => this.breakWith('The sender gave up.'));
  }

  /** Streams the chunks and resolves with the receiver's answer. */
  async run(chunks: AsyncIterable<Uint8Array>): Promise<SnapshotAnswer> {
    const { network, source, target } = this;
    network.addCall(this);
    this.note(`→ ${this.to}  snapshot at ${this.header.snapshot.index} begins`);
    const broken = new Promise<never>((_, reject) => {
      this.rejectSender = reject;
    });
    // Nobody may be listening at the moment when it breaks.
    broken.catch(() => {});
    try {
      await Promise.race([broken, this.pause()]);
      if (target === undefined) throw new RaftkvError('unavailable', `${this.to} does not answer.`);
      this.breakIfCut();
      const answer = this.callReceiver(target);
      answer.catch(() => {});
      // A receiver that wants nothing of it answers before the end, and takes no more.
      let isAnswered = false;
      const answered = () => {
        isAnswered = true;
      };
      const early = answer.then(answered, answered);
      for await (const chunk of chunks) {
        await Promise.race([broken, early, this.transfer(target, chunk)]);
        if (isAnswered) break;
      }
      const resetMs = isAnswered ? null : network.snapshotResetMs();
      if (resetMs !== null) this.resetBeforeEnd(target, resetMs);
      if (!isAnswered) await Promise.race([broken, early, this.transfer(target, null)]);
      const result = await Promise.race([broken, answer]);
      network.counts.snapshotsArrived += 1;
      this.note(`← ${this.to}  snapshot at ${this.header.snapshot.index}: match ${result.matchIndex}`);
      return result;
    } finally {
      if (!source.process.hasEnded) network.removeCall(this);
    }
  }

  /** Looks whether the two can still hear each other. */
  breakIfCut(): void {
    const { network, source, target, to } = this;
    if (target === undefined) return;
    const { links } = network;
    if (source.process.hasEnded || target.process.hasEnded) {
      this.breakWith('The other process ended.');
    } else if (links.isCut(source.id, to) || links.isCut(to, source.id)) {
      this.breakWith('The connection was cut.');
    }
  }

  private breakWith(detail: string): void {
    if (this.brokenBy !== null || this.isReset) return;
    const error = new RaftkvError('unavailable', detail);
    this.brokenBy = error;
    this.network.removeCall(this);
    const { source, target } = this;
    const { scheduler } = this.network;
    this.note(`✗ ${this.to}  snapshot at ${this.header.snapshot.index}: ${detail}`);
    scheduler.after(this.network.latencyMs(), source.process, () => this.rejectSender(error));
    if (target) scheduler.after(this.network.latencyMs(), target.process, () => this.wakeReceiver());
  }

  private callReceiver(target: Endpoint): Promise<SnapshotAnswer> {
    const { network, source } = this;
    return new Promise((resolve, reject) => {
      const back = (settle: () => void) => {
        if (!target.process.hasEnded) network.scheduler.after(network.latencyMs(), source.process, settle);
      };
      network.scheduler.after(network.latencyMs(), target.process, () => {
        const receiver = target.receiver;
        if (receiver === null) return;
        receiver.onSnapshot(this.header, this.received(), true).then(
          (answer) => back(() => resolve(answer)),
          (error: unknown) => back(() => reject(error)),
        );
      });
    });
  }

  private async *received(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const part = this.arrived.shift();
      if (part !== undefined) {
        part.taken();
        if (part.chunk === null) return;
        yield part.chunk;
      } else {
        if (this.brokenBy !== null) throw this.brokenBy;
        await new Promise<void>((resolve) => {
          this.wakeReceiver = resolve;
        });
      }
    }
  }

  /** Resolves when the receiver has taken the chunk; null is the end of the stream. */
  private transfer(target: Endpoint, chunk: Uint8Array | null): Promise<void> {
    const { network, source } = this;
    return new Promise((resolve) => {
      network.scheduler.after(network.snapshotPartMs(), target.process, () => {
        if (this.brokenBy !== null) return;
        this.arrived.push({
          chunk,
          taken: () => {
            network.scheduler.after(network.latencyMs(), source.process, () => resolve());
          },
        });
        this.wakeReceiver();
      });
    });
  }

  /**
   * The connection is reset when everything is under way: the receiver has it in its buffers and comes to the end later, and
   * the sender, which cannot know, may long have sent something newer.
   */
  private resetBeforeEnd(target: Endpoint, lateMs: number): never {
    const { network } = this;
    this.note(`✗ ${this.to}  snapshot at ${this.header.snapshot.index}: reset before its end`);
    this.isReset = true;
    network.scheduler.after(lateMs, target.process, () => {
      this.arrived.push({ chunk: null, taken: () => {} });
      this.wakeReceiver();
    });
    throw new RaftkvError('unavailable', 'The connection was reset.');
  }

  private pause(): Promise<void> {
    const { network, source } = this;
    return new Promise((resolve) => {
      network.scheduler.after(network.latencyMs(), source.process, () => resolve());
    });
  }

  private note(text: string): void {
    const { trace } = this.network;
    trace.note(
      TraceKind.snapshot,
      this.source.number,
      this.header.snapshot.index,
      this.header.term,
      () => text,
    );
  }
}
