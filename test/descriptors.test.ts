import { describe, expect, it } from 'vitest';
import { descriptorBudget } from '../src/descriptors.js';

describe('the budget of file descriptors', () => {
  it.each([128, 256, 1024, 20_000, 1_048_576])(
    'leaves room for files and for peers at a limit of %i',
    (limit) => {
      const { clientConnections, peerConnections } = descriptorBudget(limit);
      expect(limit - clientConnections - peerConnections).toBeGreaterThanOrEqual(48 + limit / 5);
      expect(peerConnections).toBeGreaterThanOrEqual(32);
      expect(clientConnections).toBeGreaterThanOrEqual(limit / 8);
    },
  );

  it('is that of this process unless told otherwise', () => {
    expect(descriptorBudget().limit).toBeGreaterThanOrEqual(64);
  });
});
