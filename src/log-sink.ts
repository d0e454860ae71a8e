import { Buffer } from 'node:buffer';
import { write, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { after } from './clock.js';

/** Bytes of lines that wait for standard output. Past it, lines are dropped and counted. */
const WAITING_BYTES_MAX = 1024 * 1024;
/** How long after a failed write the next one is tried. */
const RETRY_MS = 1000;

/** Takes lines without ever blocking, failing or throwing. */
export interface LogOutput {
  /** False once it can never take anything again. */
  readonly isOpen: boolean;
  readonly waitingBytes: number;
  write(text: string): void;
  /** Calls back whenever everything that waited was written. */
  onEmpty: () => void;
}

/**
 * Where the log goes. Losing the log must never stop the store: lines that cannot be written wait within a bound, the
 * rest is dropped and counted, and a line says how many were lost as soon as the output works again.
 */
export class LogSink {
  /** Lines lost since the start. */
  dropped = 0;
  /** Called when the output works again, with the number of lines that were lost since the last call. */
  onRecovery: (lines: number) => void = () => {};
  private unreported = 0;

  constructor(
    private readonly output: LogOutput,
    private readonly waitingBytesMax = WAITING_BYTES_MAX,
  ) {
    output.onEmpty = () => this.report();
  }

  write(line: string): void {
    const { output } = this;
    if (output.isOpen && output.waitingBytes + line.length <= this.waitingBytesMax) {
      output.write(line);
      return;
    }
    this.dropped += 1;
    this.unreported += 1;
  }

  /** Resolves when everything is written, or after `patienceMs` milliseconds. */
  async flush(patienceMs: number): Promise<void> {
    const { output } = this;
    if (!output.isOpen || output.waitingBytes === 0) return;
    await new Promise<void>((resolve) => {
      const timer = after(patienceMs, resolve);
      output.onEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
    output.onEmpty = () => this.report();
  }

  private report(): void {
    const lines = this.unreported;
    if (lines === 0) return;
    this.unreported = 0;
    this.onRecovery(lines);
  }
}

/** Standard output, whatever it is. */
export function standardOutput(): LogOutput {
  // To Node, everything that cannot wait for its reader is a file.
  return process.stdout instanceof Socket ? new StreamOutput(process.stdout) : new FileOutput(1);
}

/** A file, written by a thread, so that neither a full nor a slow disk holds up the event loop. */
export class FileOutput implements LogOutput {
  readonly isOpen = true;
  waitingBytes = 0;
  onEmpty = (): void => {};
  private queue: string[] = [];
  private batch: Buffer | null = null;

  constructor(private readonly descriptor: number) {
    // After an uncaught error, nobody waits for a thread.
    process.on('exit', () => this.writeRest());
  }

  write(text: string): void {
    this.queue.push(text);
    this.waitingBytes += text.length;
    if (this.batch === null) this.writeQueue();
  }

  private writeQueue(): void {
    this.batch = Buffer.from(this.queue.join(''));
    this.waitingBytes = this.batch.length;
    this.queue = [];
    this.writeBatch(this.batch);
  }

  private writeBatch(batch: Buffer): void {
    this.batch = batch;
    write(this.descriptor, batch, (error, bytes) => {
      if (error !== null) {
        after(RETRY_MS, () => this.writeBatch(batch));
        return;
      }
      this.waitingBytes -= bytes;
      if (bytes < batch.length) {
        this.writeBatch(batch.subarray(bytes));
        return;
      }
      this.batch = null;
      if (this.queue.length > 0) this.writeQueue();
      else this.onEmpty();
    });
  }

  /** At the end of the process. A line that a thread is writing may appear twice, which is better than not at all. */
  private writeRest(): void {
    try {
      if (this.batch !== null) writeSync(this.descriptor, this.batch);
      if (this.queue.length > 0) writeSync(this.descriptor, this.queue.join(''));
    } catch {
      // Nobody is left to tell.
    }
  }
}

/** A pipe, a socket or a terminal: the event loop writes it when its reader takes something. */
export class StreamOutput implements LogOutput {
  isOpen = true;
  onEmpty = (): void => {};

  constructor(private readonly stream: Socket) {
    unblock(stream);
    stream.on('error', () => {
      this.isOpen = false;
      this.onEmpty();
    });
  }

  get waitingBytes(): number {
    return this.stream.writableLength;
  }

  write(text: string): void {
    this.stream.write(text, () => {
      if (this.isOpen && this.waitingBytes === 0) this.onEmpty();
    });
  }
}

/** Node has terminals block, so that one which was paused with Ctrl-S would stop the node. Pipes never block. */
function unblock(stream: Socket): void {
  const { _handle: handle } = stream as { _handle?: { setBlocking?(blocks: boolean): void } };
  handle?.setBlocking?.(false);
}
