import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The end-to-end tests that take longest, the longest first: begun last, one of them would run alone at the end. */
const LONGEST = ['faults', 'rolling-upgrade', 'hostile-http', 'moved-and-removed', 'leases-and-events'];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = LONGEST.indexOf(basename(moduleId, '.test.ts'));
      return found === -1 ? LONGEST.length : found;
    };
    return (await super.sort(files)).toSorted((one, other) => place(one) - place(other));
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'modules',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          // Only for what is stuck: on a busy machine everything takes ten times as long.
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // Reading grpc-js, fastify and src anew for each file takes a third of the time.
          isolate: false,
          // By default vitest leaves one processor to itself, and is idle while tests run.
          maxWorkers: Math.max(2, availableParallelism() - 1),
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          // Only for what is stuck: on a busy machine each of a dozen starts takes many seconds.
          testTimeout: 600_000,
          hookTimeout: 600_000,
          // After all the others. Real clusters wait most of the time, so three files share two processors.
          sequence: { groupOrder: 1 },
          maxWorkers: 3,
          isolate: false,
        },
      },
    ],
  },
});
