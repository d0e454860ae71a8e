import { describe, expect, test } from 'vitest';
import { configurationOfVoters, encodeConfiguration } from '../../src/raft/configuration.js';
import { type Entry, EntryKind, type Message } from '../../src/raft/types.js';
import { CommitVerified } from '../../src/sim/checkers/commit-verified.js';
import { ConfigurationInForce } from '../../src/sim/checkers/configuration-in-force.js';
import { IdleOutside } from '../../src/sim/checkers/idle-outside.js';
import { LeaderContact } from '../../src/sim/checkers/leader-contact.js';
import { LogCut } from '../../src/sim/checkers/log-cut.js';
import { MatchIndex } from '../../src/sim/checkers/match-index.js';
import { PreVote } from '../../src/sim/checkers/pre-vote.js';
import { SilentInQuarantine } from '../../src/sim/checkers/silent-in-quarantine.js';
import { TermBegins } from '../../src/sim/checkers/term-begins.js';
import { TransferTarget } from '../../src/sim/checkers/transfer-target.js';
import { core, durable, entry, envelope, node } from './fake-node.js';

/** The checkers of single steps of the protocol: each is fed what it allows, and what it must find. */

const n1 = node('n1');
const leader = (term: number, log: Parameters<typeof core>[0] = {}) => core({ role: 'leader', term, ...log });
const log = [entry(1, 1), entry(2, 1)];

describe('The match index never decreases, and is on disk', () => {
  const answer: Message = {
    type: 'appendEntriesResponse',
    ...envelope('n2', 'n1', 2),
    success: true,
    matchIndex: 1,
    rejectedIndex: 0,
    hintIndex: 0,
    hintTerm: 0,
  };
  const diskOf = (disk: Parameters<typeof durable>[0], incarnation = 'n2-a') =>
    new MatchIndex(() => new Map([['n2', { ...node('n2', durable({ term: 2, ...disk })), incarnation }]]));

  test('allows it to grow, and to begin anew in another term', () => {
    const checker = diskOf({ log });
    checker.received(n1, leader(2, { log, matches: { n2: 1 } }), answer);
    checker.received(n1, leader(2, { log, matches: { n2: 2, n3: 0 } }), answer);
    checker.received(n1, leader(3, { log, matches: { n2: 0 } }), answer);
  });

  test('finds one that went back', () => {
    const checker = diskOf({ log });
    checker.received(n1, leader(2, { log, matches: { n2: 2 } }), answer);
    expect(() => checker.received(n1, leader(2, { log, matches: { n2: 1 } }), answer)).toThrow('from 2 to 1');
  });

  test('finds one beyond the log', () => {
    const beyond = leader(2, { log, matches: { n2: 3 } });
    expect(() => diskOf({ log }).received(n1, beyond, answer)).toThrow('is 3, beyond its own log');
  });

  test('finds one that is not on the disk, unless a later leader replaced it or somebody else has the name', () => {
    const core = leader(2, { log, matches: { n2: 2 } });
    expect(() => diskOf({ log: log.slice(0, 1) }).received(n1, core, answer)).toThrow('term undefined');
    diskOf({ log: log.slice(0, 1), term: 3 }).received(n1, core, answer);
    diskOf({ log: [] }, 'n2-b').received(n1, core, answer);
  });

  test('goes on with a server that was removed, as the incarnation that it was', () => {
    const removed = leader(2, { log, voters: ['n1', 'n3'], matches: { n2: 2 } });
    const watched = (incarnation?: string) => {
      const checker = diskOf({ log: [] }, incarnation);
      checker.stepped(n1, leader(2, { log }));
      return checker;
    };
    expect(() => watched().received(n1, removed, answer)).toThrow(
      'is 2, where the disk of n2 has term undefined',
    );
    watched('n2-b').received(n1, removed, answer);
  });

  test('allows it to begin anew when a server comes back after its removal', () => {
    const checker = diskOf({ log });
    checker.received(n1, leader(2, { log, matches: { n2: 2 } }), answer);
    checker.stepped(n1, leader(2, { log, voters: ['n1', 'n3'] }));
    checker.received(n1, leader(2, { log, matches: { n2: 1 } }), answer);
  });
});

describe('The latest configuration in the log is in force', () => {
  const payload = encodeConfiguration(
    configurationOfVoters(
      ['n1', 'n2', 'n3'].map((id) => ({ id, incarnation: '', peerAddress: '', clientUrl: '' })),
    ),
  );
  const configuration: Entry = { ...entry(2, 1), kind: EntryKind.configuration, payload };
  const configured = [entry(1, 1), configuration, entry(3, 1)];

  test('allows the one in the log, and the compacted one', () => {
    const checker = new ConfigurationInForce();
    checker.applied(n1, configuration);
    checker.stepped(n1, core({ log: configured, configurationIndex: 2 }));
    checker.stepped(n1, core({ log: configured.slice(2), firstIndex: 3, configurationIndex: 2 }));
  });

  test('finds one that was not taken up, and one that was not taken back', () => {
    const checker = new ConfigurationInForce();
    expect(() => checker.stepped(n1, core({ log: configured, configurationIndex: 0 }))).toThrow('at index 2');
    const overwritten = core({ log: configured.slice(0, 1), configurationIndex: 2 });
    expect(() => checker.stepped(n1, overwritten)).toThrow('before index 1');
  });

  test('finds others than those that were committed, in force and on disk', () => {
    const checker = new ConfigurationInForce();
    checker.applied(n1, configuration);
    const strange = core({ log: configured.slice(2), firstIndex: 3, configurationIndex: 2, voters: ['n1'] });
    expect(() => checker.stepped(n1, strange)).toThrow('goes by the voters n1 ');
    const startConfiguration = strange.configuration;
    const disk = { ...durable({ startIndex: 2 }), startConfiguration };
    expect(() => checker.persisted(node('n1', disk))).toThrow('n1 has on disk the voters n1 ');
  });
});

describe('A follower commits only what the append verified', () => {
  const append: Message = {
    type: 'appendEntries',
    ...envelope('n2', 'n1', 1),
    previousIndex: 0,
    previousTerm: 0,
    entries: log.slice(0, 1),
    commitIndex: 2,
  };

  test('allows what it verified, and what was committed before', () => {
    const checker = new CommitVerified();
    checker.received(n1, core({ log, commitIndex: 1 }), append);
    checker.stepped(n1, core({ log, commitIndex: 2 }));
    checker.received(n1, core({ log, commitIndex: 2 }), append);
  });

  test('finds more', () => {
    expect(() => new CommitVerified().received(n1, core({ log, commitIndex: 2 }), append)).toThrow(
      'from commit index 0 to 2',
    );
  });
});

describe('Votes', () => {
  const request = (preVote: boolean): Message => ({
    type: 'requestVote',
    ...envelope('n2', 'n1', 3),
    preVote,
    lastLogIndex: 2,
    lastLogTerm: 1,
    leadershipTransfer: false,
    call: 0,
  });

  test('a request may raise the term, and a pre-vote may not', () => {
    const checker = new PreVote();
    checker.started(n1, core({ term: 2 }));
    expect(() => checker.received(n1, core({ term: 3 }), request(true))).toThrow('from term 2 to 3');
    checker.started(n1, core({ term: 2 }));
    checker.received(n1, core({ term: 3 }), request(false));
  });

  test('a server that has no vote for certain asks for none', () => {
    const checker = new IdleOutside();
    checker.sending(n1, core({ configurationIndex: 2, commitIndex: 2 }), request(true));
    checker.sending(n1, core({ configurationIndex: 2, commitIndex: 1, voters: ['n2'] }), request(true));
    const removed = core({ role: 'candidate', configurationIndex: 2, commitIndex: 2, voters: ['n2'] });
    expect(() => checker.sending(n1, removed, request(true))).toThrow('committed without a vote for it');
  });

  test('a server in quarantine sends nothing, leads nothing and answers nobody', () => {
    const checker = new SilentInQuarantine();
    checker.sending(n1, core(), request(true));
    checker.stepped(n1, core({ role: 'leader' }));
    const quarantine = 'Entries are gone.';
    checker.stepped(n1, core({ quarantine }));
    expect(() => checker.sending(n1, core({ quarantine }), request(true))).toThrow('It is in quarantine');
    expect(() => checker.stepped(n1, core({ quarantine, role: 'candidate' }))).toThrow('candidate of term 1');
    expect(() => checker.answered(n1)).toThrow('in quarantine');
  });
});

describe('A leader', () => {
  const heartbeat = (round: number): Message => ({
    type: 'heartbeat',
    ...envelope('n1', 'n2', 2),
    round,
    commitIndex: 0,
  });
  const answer: Message = { type: 'heartbeatResponse', ...envelope('n2', 'n1', 2), round: 1 };

  test('begins its term with an entry of its own', () => {
    const checker = new TermBegins();
    checker.stepped(n1, leader(2, { log: [...log, entry(3, 2)] }));
    expect(() => checker.stepped(n1, leader(3, { log: [...log, entry(3, 2)] }))).toThrow('ends in term 2');
  });

  test('leads on with a majority, and not for long without', () => {
    const checker = new LeaderContact();
    for (let round = 1; round <= 40; round += 1) {
      checker.sending(n1, leader(2), heartbeat(round));
      if (round <= 20) checker.received(n1, leader(2), answer);
      if (round === 34) break;
    }
    expect(() => checker.sending(n1, leader(2), heartbeat(35))).toThrow('within 14 rounds');
  });

  test('hands over to a server that has the whole log on disk', () => {
    const message: Message = { type: 'timeoutNow', ...envelope('n1', 'n2', 1) };
    const to = (disk: Parameters<typeof durable>[0]) =>
      new TransferTarget(() => new Map([['n2', node('n2', durable(disk))]]));
    to({ log }).sending(n1, leader(1, { log }), message);
    expect(() => to({ log: log.slice(0, 1) }).sending(n1, leader(1, { log }), message)).toThrow(
      'ends at index 1, not 2',
    );
  });
});

describe('The log is cut only below the state on disk', () => {
  test('allows what the state has, and finds more', () => {
    const checker = new LogCut();
    checker.persisted(node('n1', durable({ startIndex: 3, stateIndex: 3 })));
    expect(() => checker.persisted(node('n1', durable({ startIndex: 4, stateIndex: 3 })))).toThrow(
      'ends at 3',
    );
  });
});
