import { expect, test } from 'vitest';
import { Cluster } from '../../src/sim/cluster.js';
import { Prng } from '../../src/sim/prng.js';
import { drawSettings } from '../../src/sim/settings.js';

test('a machine that was taken out of service stays off, whoever would start it', () => {
  const seed = new Prng(1, 'seed');
  const cluster = new Cluster(drawSettings(seed, 3), seed, null);
  const node = cluster.startNewMember();
  node.crash('will be replaced');
  node.isInService = false;
  cluster.start(node);
  expect(node.isRunning).toBe(false);
  node.replaceDisk();
  node.isInService = true;
  cluster.start(node);
  expect(node.isRunning).toBe(true);
  expect(() => node.replaceDisk()).toThrow('while no process runs on it');
});
