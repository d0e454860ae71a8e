import type { Mutant } from './mutant.js';

/** Bugs in how logs are replicated, cut and committed. */
export const replicationMutants: readonly Mutant[] = [
  {
    name: 'an entry of an earlier term is committed by counting',
    rule: '§5.4.2, Figure 8',
    file: 'src/raft/replication.ts',
    from: '  if (index <= log.commitIndex || log.termAt(index) !== core.term) return;',
    to: '  if (index <= log.commitIndex) return;',
  },
  {
    name: 'an append is answered before it is on disk',
    rule: 'Figure 2',
    file: 'src/raft/replication.ts',
    from: `  core.outbox.sendAfterPersist({
    type: 'appendEntriesResponse',`,
    to: `  core.outbox.send({
    type: 'appendEntriesResponse',`,
  },
  {
    name: 'the leader counts entries that are not on its own disk',
    rule: '§5.3',
    file: 'src/raft/replication.ts',
    from: '    id === core.options.id ? log.durableIndex :',
    to: '    id === core.options.id ? log.lastIndex :',
  },
  {
    name: 'a learner counts in the majority',
    rule: 'thesis §4.2.1',
    file: 'src/raft/quorum.ts',
    from: 'majorityOf(configuration.voters, reachedBy);',
    to: 'majorityOf([...configuration.voters, ...configuration.learners], reachedBy);',
  },
  {
    name: 'an old append cuts off what came after it',
    rule: '§5.3',
    file: 'src/raft/replication.ts',
    from: '  const firstNew = entries.findIndex((entry) => log.termAt(entry.index) !== entry.term);',
    to: '  const firstNew = entries.length > 0 ? 0 : -1;',
  },
  {
    name: 'the match index goes back',
    rule: 'Figure 2',
    file: 'src/raft/progress.ts',
    from: '    if (index <= this.match) return false;',
    to: '    if (index === this.match) return false;',
  },
  {
    name: 'an answer to a heartbeat counts as a match',
    rule: '§5.3',
    file: 'src/raft/replication.ts',
    from: '  progress.acknowledgedRound = Math.max(progress.acknowledgedRound, message.round);',
    to: `  progress.acknowledgedRound = Math.max(progress.acknowledgedRound, message.round);
  progress.acknowledged(progress.next - 1);`,
  },
  {
    name: 'a follower commits beyond what the append verified',
    rule: '§5.3, Figure 2',
    file: 'src/raft/replication.ts',
    from: `  log.commitTo(Math.min(message.commitIndex, lastVerified));
  acknowledge(core, message, lastVerified);`,
    to: `  log.commitTo(Math.min(message.commitIndex, log.lastIndex));
  acknowledge(core, message, lastVerified);`,
  },
  {
    name: 'a heartbeat tells a follower of commits that it may not hold',
    rule: '§5.3',
    file: 'src/raft/replication.ts',
    from: '  const commitIndex = Math.min(core.log.commitIndex, progress.match);',
    to: '  const commitIndex = core.log.commitIndex;',
  },
  {
    name: 'a write from before a truncation counts for what came after it',
    rule: 'row 3',
    file: 'src/raft/log.ts',
    from: '    for (const write of this.outstanding) write.lastIndex = Math.min(write.lastIndex, index - 1);',
    to: '',
  },
  {
    name: 'entries are applied, and answered, before they are committed',
    rule: '§5.3',
    file: 'src/raft/raft.ts',
    from: 'Math.min(this.core.log.commitIndex, this.core.log.durableIndex)',
    to: 'this.core.log.durableIndex',
  },
  {
    name: 'entries are applied before they are on disk',
    rule: 'row 2',
    file: 'src/raft/raft.ts',
    from: 'Math.min(this.core.log.commitIndex, this.core.log.durableIndex)',
    to: 'this.core.log.commitIndex',
  },
  {
    name: 'a follower whose append was lost waits for ever',
    rule: 'row 11',
    file: 'src/raft/replication.ts',
    from: `  progress.freedTick = core.now;
  progress.probeSent = false;`,
    to: '  progress.freedTick = core.now;',
  },
  {
    name: 'lost appends are never asked about',
    rule: 'row 11',
    file: 'src/raft/replication.ts',
    from: '  progress.verify = mayHaveLost && progress.match < progress.next - 1;',
    to: '',
  },
];
