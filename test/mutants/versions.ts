import type { Mutant } from './mutant.js';

/** Bugs in how a cluster moves to a newer version. */
export const versionMutants: readonly Mutant[] = [
  {
    name: 'the cluster version is raised without a report from every member',
    rule: 'docs/operations.md, Upgrade',
    file: 'src/node/version-keeper.ts',
    from: '    return Math.min(own, ...reports.map(({ newest }) => newest ?? 1));',
    to: '    return Math.min(own, ...reports.map(({ newest }) => newest ?? own));',
  },
  {
    name: 'the cluster version is raised despite a hold',
    rule: 'docs/operations.md, Upgrade',
    file: 'src/node/version-keeper.ts',
    from: 'version <= clusterVersion() || isHeld()',
    to: 'version <= clusterVersion()',
    test: 'test/node/version-keeper.test.ts',
  },
];
