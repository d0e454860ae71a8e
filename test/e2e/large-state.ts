import { readFile } from 'node:fs/promises';
import { list, put, statusOf } from './client.js';
import type { Cluster, TestNode } from './cluster.js';
import { until } from './wait.js';

export const HEAP_FLAG = '--max-old-space-size=256';
export const VALUE_BYTES = 256 * 1024;
const WRITERS = 4;
const CALL_TIMEOUT_MS = 30_000;
const MEMORY_EVERY_MS = 250;

/** What {@link runLargeState} measured. Durations are in milliseconds. */
export interface LargeStateFigures {
  readonly bytes: number;
  readonly loadMs: number;
  readonly restartMs: number;
  readonly joinMs: number;
  /**
   * Of any one node, 0 where the system does not tell: all that was resident, with the pages of mapped files, which the
   * system takes back when it needs them, and the largest seen of what is the process's own.
   */
  readonly peakResidentBytes: number;
  readonly peakOwnBytes: number;
  /** While the new member took its snapshot. */
  readonly writesDuringSnapshot: number;
  readonly slowestWriteMs: number;
}

/**
 * Loads a running cluster with values that cannot be held in the heap, restarts all of it, and adds a member that has to
 * take everything as a snapshot while small writes go on. Throws when anything of it is lost or takes too long.
 */
export async function runLargeState(
  cluster: Cluster,
  bytes: number,
  timeoutMs: number,
): Promise<LargeStateFigures> {
  const memory = new MemoryWatch(cluster);
  try {
    return { ...(await measure(cluster, bytes, timeoutMs, memory)), ...memory.peaks };
  } finally {
    memory.stop();
  }
}

async function measure(
  cluster: Cluster,
  bytes: number,
  timeoutMs: number,
  memory: MemoryWatch,
): Promise<Omit<LargeStateFigures, keyof MemoryWatch['peaks']>> {
  const count = Math.ceil(bytes / VALUE_BYTES);
  const loadStarted = performance.now();
  await load(cluster, count);
  const loadMs = performance.now() - loadStarted;

  await memory.look();
  await Promise.all(cluster.nodes.map((node) => node.stop()));
  const restartStarted = performance.now();
  for (const node of cluster.nodes) node.start();
  await cluster.ready(timeoutMs);
  await cluster.put('after the restart', 'x');
  const restartMs = performance.now() - restartStarted;

  const member = await cluster.addNode();
  const joinStarted = performance.now();
  member.start(['--join', cluster.nodes.map((node) => node.url).join(',')]);
  const { writes, slowestMs } = await writeUntil(cluster, () => isVoter(member), timeoutMs);
  const joinMs = performance.now() - joinStarted;
  await checkAll(member, count);
  await memory.look();
  return {
    bytes: count * VALUE_BYTES,
    loadMs,
    restartMs,
    joinMs,
    writesDuringSnapshot: writes,
    slowestWriteMs: slowestMs,
  };
}

/** The same bytes at each run, and other ones for each value. */
function bytesOf(place: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(VALUE_BYTES).fill(place % 251);
}

function keyOf(place: number): string {
  return `large/${String(place).padStart(6, '0')}`;
}

async function load(cluster: Cluster, count: number): Promise<void> {
  let next = 0;
  const writers = Array.from({ length: WRITERS }, async () => {
    for (let place = next++; place < count; place = next++) {
      await until(`value ${place} acknowledged`, async () => {
        const { url } = await cluster.leader();
        const outcome = await put(url, keyOf(place), bytesOf(place), {
          timeoutMs: CALL_TIMEOUT_MS,
          query: 'timeout=20s',
        });
        return outcome.kind === 'done' ? true : undefined;
      });
    }
  });
  await Promise.all(writers);
}

async function isVoter(member: TestNode): Promise<boolean> {
  const status = await statusOf(member.url);
  return status?.role === 'follower' && status.appliedIndex > 0;
}

/** One small write after the other, each of which must be acknowledged. */
async function writeUntil(
  cluster: Cluster,
  done: () => Promise<boolean>,
  timeoutMs: number,
): Promise<{ writes: number; slowestMs: number }> {
  const deadline = performance.now() + timeoutMs;
  let writes = 0;
  let slowestMs = 0;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`There is no new voter after ${timeoutMs} ms.`);
    const startedAt = performance.now();
    await cluster.put(`meanwhile/${writes}`, 'x');
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    writes += 1;
  }
  return { writes, slowestMs };
}

/** All keys are there, and of some the value, each on this very node. */
async function checkAll(node: TestNode, count: number): Promise<void> {
  const keys = await list(node.url, 'large/', 'consistency=stale&keysOnly=true');
  if (keys.size !== count) throw new Error(`${node.id} has ${keys.size} of ${count} values.`);
  const step = Math.max(1, Math.floor(count / 50));
  for (let place = 0; place < count; place += step) {
    const response = await fetch(`${node.url}/v1/kv/${keyOf(place)}?consistency=stale`);
    const found = Buffer.from(await response.arrayBuffer());
    if (Buffer.compare(found, bytesOf(place)) !== 0)
      throw new Error(`${node.id} has another ${keyOf(place)}.`);
  }
}

/** Looks at the memory of all nodes, again and again. */
class MemoryWatch {
  readonly peaks = { peakResidentBytes: 0, peakOwnBytes: 0 };
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly cluster: Cluster) {
    this.timer = setInterval(() => void this.look(), MEMORY_EVERY_MS);
  }

  async look(): Promise<void> {
    for (const node of this.cluster.running) {
      const status = await readFile(`/proc/${node.run?.pid}/status`, 'utf8').catch(() => '');
      const field = (name: string) =>
        Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024;
      this.peaks.peakResidentBytes = Math.max(this.peaks.peakResidentBytes, field('VmHWM'));
      this.peaks.peakOwnBytes = Math.max(this.peaks.peakOwnBytes, field('RssAnon'));
    }
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

export function describeFigures(figures: LargeStateFigures): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const mebibytes = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MiB`;
  return [
    `${mebibytes(figures.bytes)} of values of ${VALUE_BYTES / 1024} KiB, nodes with ${HEAP_FLAG}:`,
    `loaded in ${seconds(figures.loadMs)};`,
    `all restarted, ready and a write acknowledged in ${seconds(figures.restartMs)};`,
    `a new member started, filled by a snapshot and voting in ${seconds(figures.joinMs)},`,
    `with ${figures.writesDuringSnapshot} writes acknowledged meanwhile (the slowest in ${Math.round(figures.slowestWriteMs)} ms);`,
    `peak memory of a node ${mebibytes(figures.peakOwnBytes)}, and ${mebibytes(figures.peakResidentBytes)} with mapped files.`,
  ].join(' ');
}
