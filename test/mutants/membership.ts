import type { Mutant } from './mutant.js';

/** Bugs in membership changes, compaction and snapshots. */
export const membershipMutants: readonly Mutant[] = [
  {
    name: 'a configuration begins before the leader committed anything',
    rule: 'raft-dev 2015',
    file: 'src/raft/membership.ts',
    from: '  if (core.log.commitIndex < core.termStartIndex) {',
    to: '  if (core.log.commitIndex < 0) {',
  },
  {
    name: 'two configurations are pending at once',
    rule: 'thesis §4.1',
    file: 'src/raft/membership.ts',
    from: '  if (core.configurationIndex > core.log.commitIndex) {',
    to: '  if (core.configurationIndex > core.log.lastIndex) {',
  },
  {
    name: 'a configuration that was overwritten stays in force',
    rule: '§6',
    file: 'src/raft/core.ts',
    from: '    while (this.configurations.length > 1 && this.configurationIndex >= index) {',
    to: '    while (this.configurationIndex > this.log.lastIndex + this.configurations.length + index) {',
  },
  {
    name: 'a removed leader leads on',
    rule: '§6',
    file: 'src/raft/raft.ts',
    from: '    stepDownIfRemoved(core);',
    to: '    if (core.configuration.voters.length === 0) stepDownIfRemoved(core);',
  },
  {
    name: 'a snapshot that is older than the log is installed',
    rule: '§7',
    file: 'src/raft/snapshots.ts',
    from: '  if (snapshot.index <= core.log.commitIndex) {',
    to: '  if (snapshot.index < 0) {',
  },
  {
    name: 'a snapshot comes without its configuration',
    rule: '§7, Figure 13',
    file: 'src/raft/snapshots.ts',
    from: '  core.configurations = [{ index: snapshot.index, configuration: snapshot.configuration }];',
    to: '  core.configurations = [{ index: snapshot.index, configuration: core.configuration }];',
  },
  {
    name: 'a compaction records the newest configuration, committed or not',
    rule: '§7, Figure 13',
    file: 'src/raft/snapshots.ts',
    from: '  const configuration = core.configurationAt(index);',
    to: '  const configuration = core.configuration;',
  },
  {
    name: 'the log is cut above what the state has on disk',
    rule: '§7',
    file: 'src/node/flusher.ts',
    from: `        this.raft.lastIndex - keptEntries(this.raft.logSize, this.bounds),
        this.stateMachine.flushedIndex,`,
    to: `        this.raft.lastIndex - keptEntries(this.raft.logSize, this.bounds),
        this.stateMachine.appliedIndex,`,
  },
  {
    name: 'the applied index is written apart from the data',
    rule: 'row 22',
    file: 'src/kv/buffered-store.ts',
    from: '      await this.#store.write(inTurn(pruning.operations, departure.operations, changes, [note]));',
    to: `      const operations = [...inTurn(pruning.operations, departure.operations, changes, [note])];
      await this.#store.write(operations.slice(0, -1));
      await this.#store.write(operations.slice(-1));`,
  },
];
