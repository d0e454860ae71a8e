import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { emptyConfiguration } from '../../src/raft/configuration.js';
import {
  type Configuration,
  type Entry,
  EntryKind,
  type Envelope,
  type Index,
  type Role,
  type Term,
} from '../../src/raft/types.js';
import type { CoreView, NodeView } from '../../src/sim/checkers/checker.js';
import type { DurableView } from '../../src/sim/durable-log.js';

/** An entry whose content is a text. */
export function entry(index: Index, term: Term, text = `${index}/${term}`): Entry {
  return { index, term, kind: EntryKind.command, payload: Buffer.from(text) };
}

/** A core that says what the test wants. */
export function core(
  given: {
    role?: Role;
    term?: Term;
    commitIndex?: Index;
    firstIndex?: Index;
    /** The term before the first entry. */
    compactedTerm?: Term;
    log?: readonly Entry[];
    voters?: readonly string[];
    /** Where the configuration stands. */
    quarantine?: string | null;
    configurationIndex?: Index;
    matches?: Readonly<Record<string, Index>>;
    durableIndex?: Index;
    configuration?: Configuration;
    holdsLease?: (reading: number) => boolean;
  } = {},
): CoreView {
  const {
    role = 'follower',
    term = 1,
    commitIndex = 0,
    firstIndex = 1,
    compactedTerm = 0,
    log = [],
    voters = ['n1', 'n2', 'n3'],
    quarantine = null,
    configurationIndex = 0,
    matches = {},
    durableIndex = 0,
    configuration,
    holdsLease = () => false,
  } = given;
  const termAt = (index: Index) => (index === firstIndex - 1 ? compactedTerm : log[index - firstIndex]?.term);
  return {
    role,
    term,
    commitIndex,
    firstIndex,
    lastIndex: firstIndex + log.length - 1,
    durableIndex,
    holdsLease,
    configuration: configuration ?? {
      ...emptyConfiguration,
      voters,
      members: voters.map((id) => ({ id, incarnation: `${id}-a`, peerAddress: '', clientUrl: '' })),
    },
    quarantine,
    configurationIndex,
    termAt,
    follower: (id) => (matches[id] === undefined ? undefined : { match: matches[id] }),
    entries: (first, last) => log.slice(first - firstIndex, last - firstIndex + 1),
  };
}

/** A disk that holds what the test wants. */
export function durable(
  given: {
    term?: Term;
    vote?: string | null;
    commit?: Index;
    log?: readonly Entry[];
    startIndex?: Index;
    stateIndex?: Index;
  } = {},
): DurableView {
  const { term = 1, vote = null, commit = 0, log = [], startIndex = 0, stateIndex = 0 } = given;
  return {
    term,
    vote,
    commit,
    startIndex,
    startCount: 1,
    startConfiguration: null,
    stateIndex,
    lastIndex: log.length,
    termAt: (index) => (index === 0 ? 0 : log[index - 1]?.term),
  };
}

export function node(id: string, disk: DurableView = durable()): NodeView {
  return {
    id,
    incarnation: `${id}-a`,
    durable: disk,
    isDamaged: false,
    core: null,
    clockMs: 0,
    program: SPOKEN_VERSIONS,
  };
}

export function envelope(from: string, to: string, term: Term): Envelope {
  return { from, fromIncarnation: `${from}-a`, to, term };
}
