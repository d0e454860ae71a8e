import { isUtf8 } from 'node:buffer';
import type protobuf from 'protobufjs';

/**
 * A check of protobuf bytes against their message type that is stricter than protobufjs, which cuts a string that is too
 * long for its buffer, ignores wire types and lets a repeated field win. Bytes that pass have one meaning, whoever decodes
 * them: every length fits, every field is known and of its wire type, no field or oneof is given twice, text is UTF-8.
 */
export interface WireRules {
  readonly fields: readonly (FieldRule | undefined)[];
}

interface FieldRule {
  readonly name: string;
  readonly wireType: number;
  /** Fields that may be given once share no slot; members of a oneof share theirs. 0 for a repeated field. */
  readonly slot: number;
  readonly isText: boolean;
  /** A list of numbers of 64 bits, which may also be packed: a length, and then all of them. */
  readonly isNumbers: boolean;
  /** Of the nested message. */
  readonly message: WireRules | undefined;
}

const VARINT = 0;
const FIXED_64 = 1;
const LENGTH = 2;

const wireTypes: Readonly<Record<string, number>> = {
  double: FIXED_64,
  bool: VARINT,
  uint32: VARINT,
  uint64: VARINT,
  string: LENGTH,
  bytes: LENGTH,
};

/** The rules of a message type. Types must not contain themselves. */
export function wireRules(type: protobuf.Type): WireRules {
  const fields: (FieldRule | undefined)[] = [];
  const slots = new Map<object, number>();
  for (const field of type.fieldsArray) {
    field.resolve();
    const owner = field.partOf ?? field;
    if (!field.repeated && !slots.has(owner)) slots.set(owner, 2 ** slots.size);
    const nested = field.resolvedType !== null && 'fieldsArray' in field.resolvedType;
    fields[field.id] = {
      name: field.name,
      wireType: nested ? LENGTH : (wireTypes[field.type] ?? VARINT),
      slot: field.repeated ? 0 : (slots.get(owner) ?? 0),
      isText: field.type === 'string',
      isNumbers: field.repeated && field.type === 'double',
      message: nested ? wireRules(field.resolvedType as protobuf.Type) : undefined,
    };
  }
  return { fields };
}

/** A newer version may have written the bytes. */
export class UnknownField extends Error {
  constructor(number: number) {
    super(`a field ${number} that this version of raftkv does not know`);
  }
}

/** Where {@link readVarint} stopped. A result object for each number would cost more than reading it. */
let position = 0;

/** Throws an {@link UnknownField}, or an Error with a sentence that says what is wrong, unless the bytes keep the rules. */
export function checkWire(rules: WireRules, bytes: Uint8Array): void {
  checkRange(rules, bytes, 0, bytes.length);
}

function checkRange({ fields }: WireRules, bytes: Uint8Array, start: number, end: number): void {
  let seen = 0;
  let offset = start;
  while (offset < end) {
    // Nearly all numbers here take one byte.
    let tag = bytes[offset] ?? 0;
    offset += 1;
    if (tag >= 0x80) {
      tag = readVarint(bytes, offset - 1, end);
      offset = position;
    }
    const rule = tag < 0x80 ? fields[tag >>> 3] : fields[Math.floor(tag / 8)];
    if (rule === undefined) throw new UnknownField(Math.floor(tag / 8));
    const wireType = tag % 8;
    if (wireType !== rule.wireType && !(rule.isNumbers && wireType === LENGTH)) {
      throw new Error(`Its field ${rule.name} has the wrong type.`);
    }
    if ((seen & rule.slot) !== 0) throw new Error(`Its field ${rule.name} is given twice.`);
    seen |= rule.slot;
    if (wireType === FIXED_64) {
      offset += 8;
      if (offset > end) throw new Error(`It ends within its field ${rule.name}.`);
      continue;
    }
    let value = offset < end ? (bytes[offset] ?? 0) : 0x80;
    offset += 1;
    if (value >= 0x80) {
      value = readVarint(bytes, offset - 1, end);
      offset = position;
    }
    if (wireType === VARINT) continue;
    const next = offset + value;
    if (next > end) throw new Error(`It ends within its field ${rule.name}.`);
    if (rule.message !== undefined) checkRange(rule.message, bytes, offset, next);
    else if (rule.isText && !isText(bytes, offset, next))
      throw new Error(`Its field ${rule.name} is not text in UTF-8.`);
    else if (rule.isNumbers && value % 8 !== 0)
      throw new Error(`Its field ${rule.name} ends within a number.`);
    offset = next;
  }
}

/** An unsigned number of at most ten bytes, exact up to 2^53, where lengths and tags end long before. */
function readVarint(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  let factor = 1;
  for (let offset = start; offset < end && offset < start + 10; offset += 1) {
    const byte = bytes[offset] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) {
      position = offset + 1;
      return value;
    }
    factor *= 128;
  }
  throw new Error('It has a number that does not end.');
}

function isText(bytes: Uint8Array, start: number, end: number): boolean {
  for (let offset = start; offset < end; offset += 1) {
    if ((bytes[offset] ?? 0) >= 0x80) return isUtf8(bytes.subarray(start, end));
  }
  return true;
}
