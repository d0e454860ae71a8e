import type { Pair, Scan, StoreSnapshot } from '../storage/ordered-store.js';
import { stateDamaged } from './damage.js';
import { LiveTotals } from './live-sums.js';
import { keyInWords } from './record-checks.js';
import {
  type Current,
  currentRange,
  decodeCurrent,
  decodeVersion,
  keyOfCurrent,
  keyOfVersion,
  type Version,
  versionRange,
} from './record-codec.js';
import type { KeyId } from './sorted-map.js';
import { keyId, type WriteBuffer } from './write-buffer.js';

/** Records that are read in one step, between which the event loop gets a turn. */
const RECORDS_PER_STEP = 256;
/** Records with which a piece ends, unless it does by its bytes. */
export const PIECE_RECORDS = 1024;
const PIECE_BYTES = 4 * 1024 * 1024;

export interface LiveWalkParts {
  /** A frozen view of exactly what the last flush left; undefined once the state has ended. Calls `begun` at that very moment. */
  readonly freeze: (begun: () => void) => Promise<StoreSnapshot | undefined>;
  /** Whether each key is compared with its versions; otherwise they are not read. */
  readonly checksVersions: boolean;
  /** A piece ends with the key with which it reaches so many. */
  readonly pieceRecords: number;
  /** Called after each piece; no view is held until it resolves. */
  readonly rest: (records: number, bytes: number) => Promise<void>;
}

/**
 * Reads the records of all keys, piece by piece, each from a view of its own. One view for all of them would keep what compactions
 * replace on the disk for hours. Instead the walk follows the changes of keys that it has passed: at its end it knows what the
 * records, as they were read, and the changes since come to, which is what the state must have then.
 */
export class LiveWalk {
  readonly #parts: LiveWalkParts;
  readonly #walked = new LiveTotals();
  /** The last key that was passed; undefined before the first. */
  #through: Buffer | undefined;
  #isReading = false;
  /** What was flushed since the view of the present piece. */
  #meanwhile: WriteBuffer[] = [];

  constructor(parts: LiveWalkParts) {
    this.#parts = parts;
  }

  /**
   * Throws `storage_damaged` for the first record that is damaged or contradicts another.
   *
   * @param compare Called at the end, with what the last flush must have left on the disk; not called where the state ends before.
   */
  async run(compare: (walked: LiveTotals) => void): Promise<void> {
    for (;;) {
      const disk = await this.#parts.freeze(() => {
        this.#isReading = true;
      });
      if (disk === undefined) return;
      const piece = new Piece(disk, this.#through, this.#parts, this.#walked);
      try {
        await piece.read();
      } finally {
        await piece.close();
      }
      // Nothing is awaited from here to the end of the comparison, so no flush comes in between.
      this.#isReading = false;
      this.#through = piece.lastKey ?? this.#through;
      const id = piece.isLast ? undefined : this.#through && keyId(this.#through);
      for (const buffer of this.#meanwhile.splice(0)) this.#follow(buffer, id);
      if (piece.isLast) compare(this.#walked);
      await this.#parts.rest(piece.records, piece.bytes);
      if (piece.isLast) return;
    }
  }

  /** A flush has ended. */
  flushed(buffer: WriteBuffer): void {
    if (this.#isReading) this.#meanwhile.push(buffer);
    else if (this.#through !== undefined) this.#follow(buffer, keyId(this.#through));
  }

  /** @param through undefined for all keys. */
  #follow(buffer: WriteBuffer, through: KeyId | undefined): void {
    for (const [id, { bucket, sumAdded, keysAdded }] of buffer.keys.entries()) {
      if (through === undefined || id <= through) this.#walked.add(keysAdded, bucket, sumAdded);
    }
  }
}

/** Some keys that follow one another. */
class Piece {
  records = 0;
  bytes = 0;
  /** Whether there are no keys after these. */
  isLast = false;
  lastKey: Buffer | undefined;
  readonly #disk: StoreSnapshot;
  readonly #currents: Pairs;
  readonly #versions: Pairs | undefined;
  readonly #recordsMax: number;
  readonly #walked: LiveTotals;

  constructor(
    disk: StoreSnapshot,
    after: Uint8Array | undefined,
    { checksVersions, pieceRecords }: LiveWalkParts,
    walked: LiveTotals,
  ) {
    this.#disk = disk;
    this.#currents = new Pairs(disk.scan(currentRange(new Uint8Array(0), after)), keyOfCurrent);
    if (checksVersions)
      this.#versions = new Pairs(disk.scan(versionRange(after)), (record) => keyOfVersion(record).key);
    this.#recordsMax = pieceRecords;
    this.#walked = walked;
  }

  async read(): Promise<void> {
    const [currents, versions] = [this.#currents, this.#versions];
    let records: KeyRecords | undefined;
    for (;;) {
      if (currents.isSpent) await currents.fill();
      if (versions?.isSpent) await versions.fill();
      const current = currents.next;
      const version = versions?.next;
      const next = first(current?.key, version?.key);
      if (next === undefined || records === undefined || Buffer.compare(records.key, next) !== 0) {
        if (records !== undefined) this.#pass(records);
        this.isLast = next === undefined;
        if (next === undefined || this.records >= this.#recordsMax || this.bytes >= PIECE_BYTES) return;
        records = new KeyRecords(next, versions !== undefined);
      }
      // A key's current record comes before its versions.
      if (current !== undefined && Buffer.compare(current.key, next) === 0) {
        records.current = decodeCurrent(current.pair.value);
        this.#count(current.pair);
        currents.skip();
      } else if (version !== undefined) {
        records.version = decodeVersion(version.pair.value, keyOfVersion(version.pair.key).revision);
        this.#count(version.pair);
        versions?.skip();
      }
    }
  }

  async close(): Promise<void> {
    await this.#currents.close();
    await this.#versions?.close();
    await this.#disk.close();
  }

  #count({ key, value }: Pair): void {
    this.records += 1;
    this.bytes += key.length + value.length;
  }

  #pass(records: KeyRecords): void {
    const { key, current } = records;
    const contradiction = records.contradiction();
    if (contradiction !== undefined) throw stateDamaged(contradiction);
    if (current !== undefined) this.#walked.addKey(key, current);
    this.lastKey = key;
  }
}

/** What the records of one key say. */
class KeyRecords {
  readonly key: Buffer;
  current: Current | undefined;
  /** The last one that was read. */
  version: Version | undefined;

  constructor(
    key: Uint8Array,
    private readonly hasVersions: boolean,
  ) {
    this.key = Buffer.from(key);
  }

  contradiction(): string | undefined {
    const { current, version } = this;
    if (!this.hasVersions) return undefined;
    if (current === undefined) {
      // The records of deleted keys stand apart.
      if (version === undefined || version.deleted) return undefined;
      return `${this.#name} has a value of revision ${version.modRevision}, and no record says that it exists.`;
    }
    const { modRevision } = current;
    if (version !== undefined && version.modRevision > modRevision)
      return (
        `${this.#name} has a value of revision ${version.modRevision}, and its record says that revision ${modRevision} is ` +
        'the newest.'
      );
    if (current.deleted) return undefined;
    if (version?.modRevision !== modRevision)
      return `The value of ${this.#name} at revision ${modRevision} is missing.`;
    const isSame =
      !version.deleted &&
      version.createRevision === current.createRevision &&
      version.version === current.version &&
      version.lease === current.lease &&
      version.contentType === current.contentType;
    return isSame
      ? undefined
      : `${this.#name} and its value at revision ${modRevision} do not belong together.`;
  }

  get #name(): string {
    return keyInWords(this.key);
  }
}

/** The pairs of a scan, one after the other. */
class Pairs {
  /** The first one that was not skipped; undefined at the end, and where {@link fill} is to be called. */
  next: { readonly key: Uint8Array; readonly pair: Pair } | undefined;
  #pairs: readonly Pair[] = [];
  #at = 0;
  #isAtEnd = false;

  constructor(
    private readonly scan: Scan,
    private readonly keyOf: (record: Uint8Array) => Uint8Array,
  ) {}

  get isSpent(): boolean {
    return this.next === undefined && !this.#isAtEnd;
  }

  async fill(): Promise<void> {
    this.#pairs = await this.scan.next(RECORDS_PER_STEP);
    this.#isAtEnd = this.#pairs.length === 0;
    this.#at = 0;
    this.#show();
  }

  skip(): void {
    this.#at += 1;
    this.#show();
  }

  close(): Promise<void> {
    return this.scan.close();
  }

  #show(): void {
    const pair = this.#pairs[this.#at];
    this.next = pair && { key: this.keyOf(pair.key), pair };
  }
}

function first(one: Uint8Array | undefined, other: Uint8Array | undefined): Uint8Array | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Buffer.compare(one, other) <= 0 ? one : other;
}
