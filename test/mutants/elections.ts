import type { Mutant } from './mutant.js';

/** Bugs in elections, votes and handovers. */
export const electionMutants: readonly Mutant[] = [
  {
    name: 'a vote is answered before it is on disk',
    rule: 'Figure 2',
    file: 'src/raft/elections.ts',
    from: `  core.outbox.sendAfterPersist({
    type: 'requestVoteResponse',`,
    to: `  core.outbox.sendUnconditionally({
    type: 'requestVoteResponse',`,
  },
  {
    name: 'a vote does not reach the disk',
    rule: 'Figure 2',
    file: 'src/raft/core.ts',
    from: `    this.vote = candidate;
    this.outbox.hardStateChanged(this.term, this.vote);`,
    to: '    this.vote = candidate;',
  },
  {
    name: "a candidate's own vote counts before it is on disk",
    rule: 'Figure 2',
    file: 'src/raft/elections.ts',
    from: '  if (core.ownVoteSequence > persistedSequence) return;',
    to: '',
  },
  {
    name: 'two votes are granted in a term',
    rule: '§5.2',
    file: 'src/raft/elections.ts',
    from: '(core.vote === null && core.leader === null)',
    to: 'core.leader === null',
  },
  {
    name: "a vote is given without a look at the candidate's log",
    rule: '§5.4.1',
    file: 'src/raft/elections.ts',
    from: 'if (!freeToVote || !upToDate || isLoyal) {',
    to: 'if (!freeToVote || isLoyal) {',
  },
  {
    name: 'a pre-vote raises the term',
    rule: 'thesis §9.6',
    file: 'src/raft/raft.ts',
    from: 'if (!message.preVote) {',
    to: 'if (message.term > 0) {',
  },
  {
    name: 'no CheckQuorum: a leader that is cut off leads on',
    rule: 'thesis §6.2',
    file: 'src/raft/reads.ts',
    from: '  if (alive) return;',
    to: '  if (alive || core.role === "leader") return;',
  },
  {
    name: 'a new leader appends no no-op',
    rule: '§8',
    file: 'src/raft/elections.ts',
    from: '  proposeEntries(core, EntryKind.noop, [new Uint8Array(0)]);',
    to: '',
  },
  {
    name: 'responses from an unknown incarnation count',
    rule: 'row 16',
    file: 'src/raft/core.ts',
    from: '    return knowsIncarnation(this.configuration, message.from, message.fromIncarnation);',
    to: '    return memberOf(this.configuration, message.from) !== undefined;',
  },
  {
    name: 'an earlier machine speaks for a removed member of the same name',
    rule: 'rows 16, 17',
    file: 'src/raft/raft.ts',
    from: 'this.core.progress.get(message.from)?.departing?.incarnation === message.fromIncarnation',
    to: 'Boolean(this.core.progress.get(message.from)?.departing)',
  },
  {
    name: 'leadership is transferred to a node whose log is behind',
    rule: 'thesis §3.10',
    file: 'src/raft/transfer.ts',
    from: '  if (core.progress.get(transfer.to)?.match !== core.log.lastIndex) return;',
    to: '',
  },
  {
    name: 'a removed node goes on campaigning',
    rule: '§6',
    file: 'src/raft/core.ts',
    from: '      if (replacedAt <= this.log.commitIndex) return false;',
    to: '',
  },
];
