import { spawnSync } from 'node:child_process';
import type { FastifyInstance } from 'fastify';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeNode } from './fake-node.js';
import { serve } from './kit.js';

let app: FastifyInstance;
let node: FakeNode;

beforeEach(() => {
  ({ app, node } = serve());
});

afterEach(async () => {
  await app.close();
});

async function metrics(): Promise<string> {
  await app.inject({ method: 'PUT', url: '/v1/kv/a', payload: 'x' });
  return (await app.inject('/metrics')).body;
}

function typesIn(text: string): ReadonlyMap<string, string> {
  return new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]),
  );
}

/** Where the package prometheus is installed. */
const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

describe('metrics', () => {
  it('count in counters, and measure in base units', async () => {
    const types = typesIn(await metrics());
    for (const [name, type] of types) {
      expect([name, type === 'counter'], name).toEqual([name, name.endsWith('_total')]);
      expect(name).not.toMatch(/milliseconds|_ms(_|$)|kilobytes|megabytes/);
    }
    expect(types.get('raftkv_log_syncs_total')).toBe('counter');
    expect(types.get('raftkv_process_stalls_total')).toBe('counter');
    expect(types.get('raftkv_longest_stall_seconds')).toBe('gauge');
  });

  it('keep the names that counters had, without calling them gauges', async () => {
    const types = typesIn(await metrics());
    for (const name of ['raftkv_log_writes', 'raftkv_log_batches', 'raftkv_stalls']) {
      expect([name, types.get(name)]).toEqual([name, 'untyped']);
    }
  });

  it('tell the build, the disk, syncs, commits, elections, followers and what waits', async () => {
    const text = await metrics();
    for (const line of [
      `raftkv_build_info{version="${node.status().version}",node_version="${process.version}"} 1`,
      'raftkv_disk_bytes{database="log"} 1',
      'raftkv_disk_bytes{database="state"} 2',
      'raftkv_log_sync_duration_seconds_bucket{le="0.0025"} 1',
      'raftkv_log_sync_duration_seconds_sum 0.002',
      'raftkv_commit_duration_seconds_count 1',
      'raftkv_elections_started_total 1',
      'raftkv_leader_changes_total 2',
      'raftkv_pending_proposals 3',
      'raftkv_waits 6',
      'raftkv_log_bytes 4',
      'raftkv_keys 6',
      'raftkv_follower_lag_entries{member="n2"} 5',
    ]) {
      expect(text).toContain(`${line}\n`);
    }
  });

  it('say nothing of the number of keys until they are counted', async () => {
    expect(await metrics()).toContain('raftkv_keys 6\n');
    node.keysCounted = undefined;
    expect(await metrics()).not.toMatch(/^raftkv_keys /m);
    node.keysCounted = 0;
    expect(await metrics()).toContain('raftkv_keys 0\n');
  });

  const title = 'please promtool';
  if (hasPromtool) {
    it(title, async () => {
      const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
        input: await metrics(),
        encoding: 'utf8',
      });
      expect([status, stdout + stderr]).toEqual([0, '']);
    });
  } else {
    it.skip(`${title} (promtool is not installed here: apt-get install prometheus)`, () => {});
  }
});
