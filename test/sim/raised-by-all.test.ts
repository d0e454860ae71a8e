import { describe, expect, it } from 'vitest';
import { SPOKEN_VERSIONS, UNREPORTED_VERSIONS } from '../../src/cluster-version.js';
import { encodeCommand } from '../../src/kv/command-codec.js';
import type { Command } from '../../src/kv/types.js';
import { configurationOfVoters, encodeConfiguration } from '../../src/raft/configuration.js';
import { type Entry, EntryKind } from '../../src/raft/types.js';
import { RaisedByAll } from '../../src/sim/checkers/raised-by-all.js';
import { node } from './fake-node.js';

const members = ['n1', 'n2'].map((id) => ({
  id,
  incarnation: `${id}-a`,
  peerAddress: 'h:1',
  clientUrl: 'http://h:2',
}));
const first: Entry = {
  index: 1,
  term: 1,
  kind: EntryKind.configuration,
  payload: encodeConfiguration(configurationOfVoters(members)),
};
const at = (index: number, command: Command): Entry => ({
  index,
  term: 1,
  kind: EntryKind.command,
  payload: encodeCommand(command),
});
const raise: Command = { kind: 'raiseVersion', version: 2 };
const bounded: Command = { kind: 'txn', compare: [], success: [], failure: [], isBounded: true };

function start(programOfN2 = SPOKEN_VERSIONS) {
  const checker = new RaisedByAll();
  const n1 = node('n1');
  checker.started(n1);
  checker.started({ ...node('n2'), program: programOfN2 });
  checker.applied(n1, first);
  return { checker, n1 };
}

describe('the checker of the cluster version', () => {
  it('takes a raise that every member reported, and newer commands after it', () => {
    const { checker, n1 } = start();
    checker.applied(n1, at(2, { kind: 'tick' }));
    checker.applied(n1, at(3, raise));
    checker.applied(n1, at(4, bounded));
  });

  it('finds a raise that a member never spoke', () => {
    const { checker, n1 } = start(UNREPORTED_VERSIONS);
    expect(() => checker.applied(n1, at(2, raise))).toThrow('raises the version to 2, and n2 never spoke it');
  });

  it('finds a command of a newer format before the raise', () => {
    const { checker, n1 } = start();
    expect(() => checker.applied(n1, at(2, bounded))).toThrow('applies a txn of format 3 at index 2');
  });
});
