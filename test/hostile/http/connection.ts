/** One client's connection, byte by byte: what an HTTP library would never send is what matters here. */
import { connect, type Socket } from 'node:net';

/** What was read of an answer. */
export interface Answer {
  readonly status: number;
  /** The beginning. */
  readonly text: string;
}

const ANSWER_BYTES_KEPT = 4_096;
const STATUS_LINE = /^HTTP\/1\.1 (\d{3}) /;

/** An open connection; undefined where the node refused it, which it may. */
export function open(port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    socket.on('error', () => resolve(undefined));
    socket.once('connect', () => resolve(socket));
  });
}

/** Reads until an answer is whole, the connection ends, or the patience does. */
export function answerOn(socket: Socket, patienceMs: number): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    let text = '';
    let length = 0;
    const done = (): void => {
      clearTimeout(timer);
      socket.off('data', read);
      const status = STATUS_LINE.exec(text)?.[1];
      resolve(status === undefined ? undefined : { status: Number(status), text });
    };
    const read = (chunk: Buffer): void => {
      length += chunk.length;
      if (text.length < ANSWER_BYTES_KEPT) text += chunk.toString('latin1');
      const headEnd = text.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const announced = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, headEnd))?.[1];
      // A stream has no length, and is begun.
      if (announced === undefined || length >= headEnd + 4 + Number(announced)) done();
    };
    const timer = setTimeout(done, patienceMs);
    socket.on('data', read);
    socket.once('end', done);
    socket.once('close', done);
  });
}

/** Connections that hostile clients leave open and do not look at any more. */
export class Abandoned {
  private readonly sockets: Socket[] = [];

  /** @param most The one that waits longest is cut for each one more. */
  constructor(private readonly most: number) {}

  add(socket: Socket): void {
    socket.pause();
    this.sockets.push(socket);
    if (this.sockets.length > this.most) this.sockets.shift()?.resetAndDestroy();
  }

  cut(): void {
    for (const socket of this.sockets.splice(0)) socket.resetAndDestroy();
  }
}
