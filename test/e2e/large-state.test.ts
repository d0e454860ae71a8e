import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, showLogsOfFailures } from './cluster.js';
import { describeFigures, HEAP_FLAG, runLargeState } from './large-state.js';

const MEBIBYTE = 1024 * 1024;

/**
 * The size of the state in MiB. The requirement is a state larger than the heap, which takes minutes:
 * `RAFTKV_TEST_STATE_MIB=1024 npx vitest run test/e2e/large-state.test.ts`
 */
const { RAFTKV_TEST_STATE_MIB = '64' } = process.env;
const STATE_MIB = Number(RAFTKV_TEST_STATE_MIB);
const TIMEOUT_MS = 60_000 + STATE_MIB * 1500;

describe('a state of large values', () => {
  let cluster: Cluster;
  showLogsOfFailures(() => cluster);
  beforeAll(async () => {
    // In the small version the log has to be small as well, or the new member would take its entries instead of a snapshot.
    const flags = ['--log-bytes-max', String(Math.min(64, STATE_MIB / 8) * MEBIBYTE)];
    cluster = await Cluster.started(3, { runtimeFlags: [HEAP_FLAG], flags });
  });
  afterAll(() => cluster?.remove());

  it(
    `of ${STATE_MIB} MiB loads, restarts and goes to a new member while writes go on`,
    async () => {
      const figures = await runLargeState(cluster, STATE_MIB * MEBIBYTE, TIMEOUT_MS);
      console.info(describeFigures(figures));
      expect(cluster.nodes.map((node) => node.log).join('')).toContain('Sending n4 a snapshot');
      expect(figures.writesDuringSnapshot).toBeGreaterThan(0);
      expect(new Set((await cluster.settled(TIMEOUT_MS)).values()).size).toBe(1);
    },
    TIMEOUT_MS,
  );
});
