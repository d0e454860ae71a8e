import { type ErrorCode, errorCatalogue, RaftkvError } from '../errors.js';
import { shownDetail } from './validation.js';
import type { WireFailure } from './wire.js';

/** An error as it travels to the node that asked. Whatever is not in the catalogue is `internal`, with its message. */
export function failureOf(error: unknown): WireFailure {
  if (error instanceof RaftkvError) {
    const hasData = Object.keys(error.data).length > 0;
    return {
      code: error.code,
      detail: error.message,
      dataJson: hasData ? JSON.stringify(error.data) : '',
    };
  }
  return { code: 'internal', detail: error instanceof Error ? error.message : String(error), dataJson: '' };
}

/** The error that the other side threw. */
export function errorOf(failure: WireFailure): RaftkvError {
  const code = Object.hasOwn(errorCatalogue, failure.code) ? (failure.code as ErrorCode) : 'internal';
  return new RaftkvError(code, shownDetail(failure.detail), dataOf(failure.dataJson));
}

/** Characters of the further members of a problem; the largest that this program makes have some hundred. */
const DATA_LENGTH_MAX = 64 * 1024;

function dataOf(json: string): Record<string, unknown> {
  if (json === '' || json.length > DATA_LENGTH_MAX) return {};
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    // The code and the sentence are what matters; a peer that garbles the rest is not worth a second error.
    return {};
  }
}
