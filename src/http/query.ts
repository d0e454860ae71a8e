import type { Buffer } from 'node:buffer';
import { RaftkvError } from '../errors.js';
import { percentDecode } from './bytes.js';

/** How long a request may take when it does not say. */
export const timeoutMsDefault = 5_000;
const timeoutMsMax = 3_600_000;

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Reads a duration such as `250ms` or `5s`; from 1 ms to 1 h unless told otherwise. */
export function parseDurationMs(text: string, name: string, minimumMs = 1, maximumMs = timeoutMsMax): number {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text);
  const milliseconds = match === null ? 0 : Number(match[1]) * (unitMs[match[2] ?? ''] ?? 0);
  if (milliseconds < minimumMs || milliseconds > maximumMs) {
    throw new RaftkvError(
      'bad_request',
      `"${name}" must be a duration from ${showMs(minimumMs)} to ${showMs(maximumMs)}, an integer with its unit: 250ms, 5s, 2m or 1h.`,
    );
  }
  return milliseconds;
}

function showMs(milliseconds: number): string {
  const unit =
    (['h', 's'] as const).find((candidate) => milliseconds % (unitMs[candidate] ?? 1) === 0) ?? 'ms';
  return `${milliseconds / (unitMs[unit] ?? 1)}${unit}`;
}

/** The names that a route knows, and the ones that the contract has but this version does not offer. */
export interface QueryNames {
  readonly known: ReadonlySet<string>;
  readonly later: ReadonlySet<string>;
}

/** Every route below /v1 understands `timeout`, `redirect` and `cluster`, so that clients can send them everywhere. */
export function queryNames(known: readonly string[], later: readonly string[] = []): QueryNames {
  return { known: new Set(['timeout', 'redirect', 'cluster', ...known]), later: new Set(later) };
}

/** The query string of one request. Unknown and repeated names are refused when it is made. */
export class Query {
  private readonly values: ReadonlyMap<string, string>;

  constructor(text: string, names: QueryNames) {
    const values = new Map<string, string>();
    for (const pair of text === '' ? [] : text.split('&')) {
      if (pair === '') continue;
      const equals = pair.indexOf('=');
      const name = equals < 0 ? pair : pair.slice(0, equals);
      if (names.later.has(name)) {
        throw new RaftkvError(
          'bad_request',
          `The query parameter "${name}" is not supported yet by this version; leave it out.`,
        );
      }
      if (!names.known.has(name)) {
        throw new RaftkvError(
          'bad_request',
          `The query parameter ${JSON.stringify(name)} is not known here. Known are: ${[...names.known].join(', ')}.`,
        );
      }
      if (values.has(name)) {
        throw new RaftkvError('bad_request', `The query parameter "${name}" is given twice; give it once.`);
      }
      values.set(name, equals < 0 ? '' : pair.slice(equals + 1));
    }
    this.values = values;
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  bytes(name: string): Buffer | undefined {
    const value = this.values.get(name);
    return value === undefined ? undefined : percentDecode(value, `query parameter "${name}"`);
  }

  text(name: string): string | undefined {
    return this.bytes(name)?.toString('utf8');
  }

  integer(name: string, minimum: number, maximum = Number.MAX_SAFE_INTEGER): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : -1;
    if (value < minimum || value > maximum) {
      const bounds =
        maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
      throw new RaftkvError('bad_request', `"${name}" must be an integer ${bounds}.`);
    }
    return value;
  }

  /** A whole number that may be negative, within the safe integers. */
  signed(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(value)) {
      throw new RaftkvError(
        'bad_request',
        `"${name}" must be a whole number from -${Number.MAX_SAFE_INTEGER} to ${Number.MAX_SAFE_INTEGER}.`,
      );
    }
    return value;
  }

  flag(name: string): boolean {
    return this.oneOf(name, ['true', 'false']) === 'true';
  }

  oneOf<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const choice = choices.find((candidate) => candidate === text);
    if (choice === undefined) {
      throw new RaftkvError('bad_request', `"${name}" must be ${choices.join(' or ')}.`);
    }
    return choice;
  }

  timeoutMs(): number {
    const text = this.text('timeout');
    return text === undefined ? timeoutMsDefault : parseDurationMs(text, 'timeout');
  }

  /** Whether the node that was asked is to do the work itself. */
  redirectNever(): boolean {
    return this.oneOf('redirect', ['never']) === 'never';
  }
}
