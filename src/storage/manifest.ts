import { Damage } from './damage.js';
import { checkLogFile, type TornTail } from './log-file-check.js';
import type { ReadPace } from './piece-reader.js';
import type { TableDescription } from './table-check.js';
import { FieldReader } from './varint.js';

/** What each field of an edit begins with. */
const Field = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedTable: 6,
  newTable: 7,
  previousLog: 9,
} as const;

const COMPARATOR = 'leveldb.BytewiseComparator';

/** Of which files a store consists, as its manifest says. */
export interface Manifest {
  /** By the number of their files. */
  readonly tables: ReadonlyMap<number, TableDescription>;
  /** The first write-ahead log that is still needed; 0 before there was any. */
  readonly logNumber: number;
  /** The last change that was numbered when the manifest was written to. */
  readonly lastSequence: number;
  readonly torn: TornTail | undefined;
}

/**
 * Reads a manifest: a list of edits in LevelDB's log format. Its records are held as a whole, as LevelDB holds them. Throws
 * {@link Damage} where it is damaged.
 */
export async function readManifest(path: string, pace: ReadPace = {}): Promise<Manifest> {
  const edits = new Edits();
  const torn = await checkLogFile(
    path,
    Number.POSITIVE_INFINITY,
    (record, offset) => {
      if (!edits.add(record)) throw new Damage(offset, 'the edit there cannot be read');
    },
    pace,
  );
  const { tables, logNumber, lastSequence } = edits;
  if (logNumber === undefined || lastSequence === undefined)
    throw new Damage(0, 'it does not say where the store stands');
  return { tables, logNumber, lastSequence, torn };
}

class Edits {
  readonly tables = new Map<number, TableDescription>();
  logNumber: number | undefined;
  lastSequence: number | undefined;

  /** Returns whether the edit could be read. */
  add(record: Buffer): boolean {
    const fields = new FieldReader(record);
    const added = new Map<number, TableDescription>();
    while (!fields.isAtEnd) if (!this.#addField(fields, added)) return false;
    // LevelDB deletes before it adds: a table that moves to another level is in both lists.
    for (const [number, table] of added) this.tables.set(number, table);
    return true;
  }

  #addField(fields: FieldReader, added: Map<number, TableDescription>): boolean {
    switch (fields.varint()) {
      case Field.comparator:
        return fields.lengthPrefixed()?.toString('latin1') === COMPARATOR;
      case Field.logNumber:
        this.logNumber = fields.varint();
        return this.logNumber !== undefined;
      case Field.lastSequence:
        this.lastSequence = fields.varint();
        return this.lastSequence !== undefined;
      case Field.nextFile:
      case Field.previousLog:
        return fields.varint() !== undefined;
      case Field.compactPointer:
        return fields.varint() !== undefined && fields.lengthPrefixed() !== undefined;
      case Field.deletedTable: {
        const level = fields.varint();
        const number = fields.varint();
        return level !== undefined && number !== undefined && this.tables.delete(number);
      }
      case Field.newTable: {
        const level = fields.varint();
        const number = fields.varint();
        const size = fields.varint();
        const smallest = fields.lengthPrefixed();
        const largest = fields.lengthPrefixed();
        if (level === undefined || number === undefined || size === undefined) return false;
        if (smallest === undefined || largest === undefined) return false;
        added.set(number, { size, smallest: Buffer.from(smallest), largest: Buffer.from(largest) });
        return true;
      }
      default:
        return false;
    }
  }
}
