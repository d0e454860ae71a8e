/** What a line of the trace is about; the numbers go into the running hash. */
export const TraceKind = {
  send: 1,
  lost: 2,
  deliver: 3,
  disk: 4,
  role: 5,
  process: 6,
  fault: 7,
  client: 8,
  snapshot: 9,
  call: 10,
  apply: 11,
} as const;
export type TraceKind = (typeof TraceKind)[keyof typeof TraceKind];

/**
 * The story of one run. Each line is folded into a running hash by its numbers, which costs next to nothing; its text is
 * made only when somebody wants to read it. Two runs of one seed give the same hash, and the same text byte for byte.
 */
export class Trace {
  private low = 0x243f6a88;
  private high = 0x85a308d3;
  lineCount = 0;

  constructor(
    private readonly now: () => number,
    /** Takes each line, or null when nobody reads. */
    private readonly write: ((line: string) => void) | null,
  ) {}

  /** Notes that something happened at `node` (a number; 0 for the world outside). */
  note(kind: TraceKind, node: number, a: number, b: number, text: () => string): void {
    this.lineCount += 1;
    this.mix(this.now() * 1000);
    this.mix(kind + (node << 8));
    this.mix(a);
    this.mix(b);
    if (this.write === null) return;
    const where = node === 0 ? '' : `n${node}`;
    this.write(`${this.now().toFixed(3).padStart(10)} ${where.padEnd(3)} ${text()}`);
  }

  /** 16 hexadecimal digits. */
  get hash(): string {
    const digits = (part: number) => (part >>> 0).toString(16).padStart(8, '0');
    return digits(this.high) + digits(this.low);
  }

  /** One round of a multiplicative hash on two words (the constants are those of MurmurHash3's finaliser). */
  private mix(value: number): void {
    this.low = Math.imul(this.low ^ value, 0x85ebca6b);
    this.low ^= this.low >>> 13;
    this.high = Math.imul(this.high ^ this.low ^ (value / 2 ** 32), 0xc2b2ae35);
    this.high ^= this.high >>> 16;
  }
}
