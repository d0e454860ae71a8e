import type { Mutant } from './mutant.js';

/** Damaged disks: what is found, and what becomes of it. */
export const damageMutants: readonly Mutant[] = [
  {
    name: 'a node whose state is damaged goes on',
    rule: 'rule 29',
    file: 'src/node/raft-node.ts',
    from: '    return this.withdrawal.begin(reason);',
    to: '    return new Promise(() => reason);',
  },
  {
    name: 'reads go on while a leader with a damaged state hands over',
    rule: 'rule 29',
    file: 'src/node/raft-node.ts',
    from: '    return this.raft.quarantine ?? this.withdrawal.reason;',
    to: '    return this.raft.quarantine;',
  },
  {
    name: 'records are read without a look at their checksums',
    rule: 'rule 29',
    file: 'src/kv/record-codec.ts',
    from: ' || crc32(record.subarray(CRC_BYTES)) !== record.readUInt32BE(0)',
    to: '',
  },
  {
    name: 'damaged leases, answers and changes are sent on in a snapshot, and taken',
    rule: 'rule 29',
    file: 'src/kv/snapshot-check.ts',
    from: '        checkAlone(pair);\n',
    to: '',
    test: 'test/kv/check-records.test.ts',
  },
  {
    name: 'a wiped node rejoins under its old incarnation',
    rule: 'rule 16',
    file: 'src/node/bootstrap.ts',
    from: 'incarnation: parts.newIncarnation() };',
    to: 'incarnation: self.id };',
  },
  {
    name: 'a repair leaves the store of an earlier snapshot open',
    rule: 'rule 29',
    file: 'src/node/state-repair.ts',
    from: '      await Promise.allSettled(this.arriving);',
    to: '',
    test: 'test/node/state-repair.test.ts',
  },
  {
    name: 'a repair asks only the members that its own log names',
    rule: 'rule 29',
    file: 'src/node/state-repair.ts',
    from: '    if (leader !== null) this.learn(leader);',
    to: '',
    test: 'test/node/state-repair.test.ts',
  },
  {
    name: 'a record of the log that an earlier one took the place of is not noticed',
    rule: 'rule 29',
    file: 'src/storage/log-load.ts',
    from: 'if (!spans && previousTerm !== this.lastTerm) {',
    to: 'if (!spans && previousTerm < 0) {',
    test: 'test/storage/log-store.test.ts',
  },
  {
    name: 'a learner that gets no entries counts as one that keeps up',
    rule: 'thesis §4.2.1',
    file: 'src/raft/membership.ts',
    from: "if (state !== 'replicate' || !keptUp || catchUp === null) return false;",
    to: "if (state === 'probe' || !keptUp || catchUp === null) return false;",
    test: 'test/raft/keeping-up.test.ts',
  },
];
