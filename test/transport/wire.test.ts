import { describe, expect, it } from 'vitest';
import { wire } from '../../src/transport/wire.js';

describe('a message of the peer protocol', () => {
  // An encoder of proto3 leaves out what is empty, and so may a stranger. crypto and Buffer refuse an array with an exception.
  it('has bytes where a field of bytes is absent', () => {
    const nothing = new Uint8Array(0);
    expect(wire.forwardRequest.decode(nothing).payload).toBeInstanceOf(Uint8Array);
  });
});
