import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Counts, Report } from './simulation.js';

/** A worker's share of a batch: the seeds `first`, `first + step`, and so on, before `end`. */
export interface Share {
  readonly first: number;
  readonly step: number;
  readonly end: number;
  readonly nodeCount: number | undefined;
}

/** What a batch of runs came to. */
export interface BatchReport {
  readonly seedCount: number;
  readonly failures: readonly Report[];
  readonly simulatedMs: number;
  readonly healedMsMax: number;
  readonly counts: Counts;
}

export interface BatchOptions {
  readonly firstSeed: number;
  readonly seedCount: number;
  readonly nodeCount: number | undefined;
  /** Threads that run seeds; all cores unless given. */
  readonly workerCount?: number | undefined;
  /** Hears of each run when it is over. */
  readonly onReport: (report: Report) => void;
}

/** Runs a batch of seeds on all cores. Each seed is a world of its own, so it does not matter who runs it. */
export async function runBatch(options: BatchOptions): Promise<BatchReport> {
  const { firstSeed, seedCount, nodeCount, onReport } = options;
  const workerCount = Math.min(seedCount, options.workerCount ?? availableParallelism());
  const reports: Report[] = [];
  const work = Array.from({ length: workerCount }, (_, at) =>
    runShare(
      { first: firstSeed + at, step: workerCount, end: firstSeed + seedCount, nodeCount },
      (report) => {
        reports.push(report);
        onReport(report);
      },
    ),
  );
  await Promise.all(work);
  return summarize(reports);
}

function runShare(share: Share, onReport: (report: Report) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: share,
      // What a run makes is nearly all short-lived.
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    });
    worker.on('message', onReport);
    worker.on('error', reject);
    worker.on('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`A worker of the simulator ended with code ${code}.`));
    });
  });
}

/** Adds up what the runs came to. */
export function summarize(reports: readonly Report[]): BatchReport {
  const counts: Record<keyof Counts, number> = {
    events: 0,
    messages: 0,
    elections: 0,
    crashes: 0,
    snapshots: 0,
    operations: 0,
    done: 0,
    read: 0,
    refused: 0,
    unknown: 0,
    undecided: 0,
  };
  let simulatedMs = 0;
  let healedMsMax = 0;
  for (const report of reports) {
    simulatedMs += report.simulatedMs;
    healedMsMax = Math.max(healedMsMax, report.healedMs);
    for (const [name, count] of Object.entries(report.counts)) counts[name as keyof Counts] += count;
  }
  const failures = reports.filter((report) => report.failure !== null).sort((a, b) => a.seed - b.seed);
  return { seedCount: reports.length, failures, simulatedMs, healedMsMax, counts };
}
