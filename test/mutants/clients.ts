import type { Mutant } from './mutant.js';

/** Two places that both look whose entry it is: either would do, so the bug is in both. */
const ACKNOWLEDGED_HERE = `    if (proposal.term === entry.term) proposal.resolve(result);
    else proposal.reject(outcomeUnknown());
  }

  /** Notices what changed in the core: the role, the leader, the members. */
  private followRole(): void {
    const { raft } = this;
    const leads = raft.role === 'leader' ? raft.term : null;
    if (this.ledTerm !== null && leads !== this.ledTerm) {
      this.outgoing.abortAll();
      this.commitTimes.forget();
      // What is committed already will be applied as it was proposed; of the rest nobody knows.
      this.rejectProposed((index, { term }) => index > raft.commitIndex || raft.termAt(index) !== term);
`;

/** Bugs in reads, and in what clients are told. */
export const clientMutants: readonly Mutant[] = [
  {
    name: 'a read is answered without a confirmed round',
    rule: '§8',
    file: 'src/raft/reads.ts',
    from: '  while (core.readRounds[0] && core.readRounds[0].round <= confirmed) {',
    to: '  while (core.readRounds[0] && confirmed >= 0) {',
  },
  {
    name: 'a read is confirmed by a round that was sent before the read arrived',
    rule: '§8',
    file: 'src/raft/reads.ts',
    from: '  while (core.readRounds[0] && core.readRounds[0].round <= confirmed) {',
    to: '  while (core.readRounds[0] && core.readRounds[0].round <= confirmed + 3) {',
  },
  {
    name: 'a read is served before the first commit of the term',
    rule: '§8',
    file: 'src/raft/reads.ts',
    from: '  if (core.log.commitIndex < core.termStartIndex) return;',
    to: '',
  },
  {
    name: 'a read is answered before its index is applied',
    rule: '§8',
    file: 'src/node/client-service.ts',
    from: '      if (store.appliedIndex >= index) return undefined;',
    to: '      if (index > 0) return undefined;',
  },
  {
    name: 'a read joins a request for the read index that was sent before the read arrived',
    rule: '§8',
    file: 'src/node/leader-reads.ts',
    from: '      this.waiting.push({ resolve, reject, deadline: this.clock.now() + timeoutMs, signal });',
    to: `      const list = this.isAsking ? this.asked : this.waiting;
      list.push({ resolve, reject, deadline: this.clock.now() + timeoutMs, signal });`,
  },
  {
    name: 'a read outlives its timeout',
    rule: 'docs/http-api.md, timeout',
    file: 'src/node/raft-node.ts',
    from: '    this.conditions.expire(sweep);',
    to: '',
  },
  {
    name: 'a lost leadership answers "failed" instead of "unknown"',
    rule: 'row 26',
    file: 'src/node/raft-node.ts',
    from: '    this.proposed.rejectWhere(matches, outcomeUnknown);',
    to: '    this.proposed.rejectWhere(matches, noLeader);',
  },
  {
    name: "another leader's entry acknowledges a proposal",
    rule: 'row 26',
    file: 'src/node/raft-node.ts',
    from: ACKNOWLEDGED_HERE,
    to: ACKNOWLEDGED_HERE.replace('proposal.term === entry.term', 'proposal.term > 0').replace(
      '      this.rejectProposed((index, { term }) => index > raft.commitIndex || raft.termAt(index) !== term);\n',
      '',
    ),
  },
  {
    name: 'a write whose answer was lost is sent again, and applied twice',
    rule: 'row 27',
    file: 'src/node/client-service.ts',
    from: '    return this.parts.transport.forward(leader, { operation, payload }, timeoutMs, signal);',
    to: `    const once = () => this.parts.transport.forward(leader, { operation, payload }, timeoutMs / 3, signal);
    return once().catch(once);`,
  },
];
