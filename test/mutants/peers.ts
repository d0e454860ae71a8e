import type { Mutant } from './mutant.js';

const QUARANTINE = 'row 24';
const STEP = 'if (core.quarantine !== null || !this.isWelcome(message)) return null;';

/** Bugs in what a node makes of what its peers say. */
export const peerMutants: readonly Mutant[] = [
  {
    name: 'a node in quarantine votes',
    rule: QUARANTINE,
    file: 'src/raft/raft.ts',
    from: STEP,
    to: STEP.replace('!== null', "!== null && message.type !== 'requestVote'"),
  },
  {
    name: 'a node in quarantine acknowledges',
    rule: QUARANTINE,
    file: 'src/raft/raft.ts',
    from: STEP,
    to: STEP.replace(
      '!== null',
      "!== null && message.type !== 'appendEntries' && message.type !== 'heartbeat'",
    ),
  },
  {
    name: 'a node in quarantine campaigns',
    rule: QUARANTINE,
    file: 'src/raft/raft.ts',
    from: '    if (core.quarantine !== null) return;\n    if (core.role',
    to: '    if (core.role',
    and: [
      {
        file: 'src/raft/core.ts',
        from: 'this.removalHeardFrom !== null || this.quarantine !== null ||',
        to: 'this.removalHeardFrom !== null ||',
      },
    ],
  },
  {
    name: 'a node in quarantine serves reads',
    rule: QUARANTINE,
    file: 'src/node/client-service.ts',
    from: '    if (quarantine !== null) throw quarantined(quarantine);',
    to: '',
  },
  {
    name: 'a node in quarantine keeps serving its watches',
    rule: QUARANTINE,
    file: 'src/node/raft-node.ts',
    from: '      this.endReads(quarantined(event.message));',
    to: '',
    test: 'test/node/client-service.test.ts',
  },
  {
    name: 'a leader counts a refused append as contact',
    rule: 'docs/architecture.md, refused appends',
    file: 'src/raft/replication.ts',
    from: '    noteRefusal(core, message.from, progress, message.refusal);',
    to: '    noteContact(core, progress);\n    noteRefusal(core, message.from, progress, message.refusal);',
    test: 'test/raft/refused-appends.test.ts',
  },
  {
    name: 'a follower that refuses appends answers heartbeats',
    rule: 'docs/architecture.md, refused appends',
    file: 'src/raft/replication.ts',
    from: '  if (core.refusesAppends) return;\n  const answer',
    to: '  const answer',
    test: 'test/raft/refused-appends.test.ts',
  },
  {
    name: 'a leader takes a refused append for a log mismatch',
    rule: 'docs/architecture.md, refused appends',
    file: 'src/raft/replication.ts',
    from: `    noteRefusal(core, message.from, progress, message.refusal);
    return;`,
    to: `    progress.becomeProbe();
    return;`,
    test: 'test/raft/refused-appends.test.ts',
  },
  {
    name: 'one difference of digests is enough for quarantine',
    rule: 'docs/architecture.md, digests',
    file: 'src/node/digest-comparison.ts',
    from: `      this.isSuspect = true;
      return;`,
    to: '      this.isSuspect = true;',
    test: 'test/node/digest-comparison.test.ts',
  },
  {
    name: 'a digest wins without a majority of the voters',
    rule: 'docs/architecture.md, digests',
    file: 'src/node/digest-comparison.ts',
    from: 'hasMajority(configuration(), (voter) => digestOf(voter) === digest)',
    to: 'configuration().voters.some((voter) => voter !== id && digestOf(voter) === digest)',
    test: 'test/node/digest-comparison.test.ts',
  },
  {
    name: 'a message can raise the term by any amount',
    rule: 'docs/architecture.md, terms',
    file: 'src/raft/plausibility.ts',
    from: 'core.term > 0 && message.term - core.term > TERM_JUMP_MAX',
    to: 'core.term < 0',
    test: 'test/raft/quarantine.test.ts',
  },
  {
    name: 'a leader takes a forwarded command that only a leader may propose',
    rule: 'docs/architecture.md, what a peer may say',
    file: 'src/kv/admission.ts',
    from: '    if (!takes(command.kind)) {',
    to: '    if (!takes(command.kind) && clusterVersion < 0) {',
    test: 'test/kv/cluster-version.test.ts',
  },
  {
    name: 'a proof does not cover the role of the side that sends it',
    rule: 'src/transport/proof.ts',
    file: 'src/transport/proof.ts',
    from: '    LABEL,\n    role,',
    to: "    LABEL,\n    role === 'dialer' ? 'listener' : 'listener',",
    test: 'test/transport/proof.test.ts',
  },
  {
    name: "a proof does not cover the listener's nonce",
    rule: 'src/transport/proof.ts',
    file: 'src/transport/proof.ts',
    from: '    dialerNonce,\n    listenerNonce,\n    ...[dialer',
    to: '    dialerNonce,\n    ...[dialer',
    test: 'test/transport/proof.test.ts',
  },
  {
    name: "a proof does not cover the dialer's nonce",
    rule: 'src/transport/proof.ts',
    file: 'src/transport/proof.ts',
    from: '    dialerNonce,\n    listenerNonce,\n    ...[dialer',
    to: '    listenerNonce,\n    ...[dialer',
    test: 'test/transport/proof.test.ts',
  },
  {
    name: 'a proof does not cover the identities of both sides',
    rule: 'src/transport/proof.ts',
    file: 'src/transport/proof.ts',
    from: '    ...[dialer, listener].flatMap(({ cluster, id, incarnation }) => [cluster, id, incarnation]),\n',
    to: '',
    test: 'test/transport/proof.test.ts',
  },
  {
    name: 'a permissive node cannot connect to a node without a secret',
    rule: 'docs/operations.md, cluster secret',
    file: 'src/transport/dial.ts',
    from: `        const { remoteAddress, remotePort } = socket;
        socket.destroy();`,
    to: `        socket.destroy();
        const { remoteAddress, remotePort } = socket;`,
    test: 'test/transport/permissive.test.ts',
  },
  {
    name: 'the connection with the fewest bytes in unfinished messages is ended',
    rule: 'src/transport/unfinished-messages.ts',
    file: 'src/transport/unfinished-messages.ts',
    from: 'owner.heldBytes > largest.heldBytes',
    to: 'owner.heldBytes < largest.heldBytes',
    test: 'test/transport/unfinished-messages.test.ts',
  },
];
