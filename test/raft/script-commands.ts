import { assert, present } from '../../src/assert.js';
import { type Entry, EntryKind, type Message } from '../../src/raft/types.js';
import type { ScriptCluster } from './script-cluster.js';
import { formatConfiguration, formatMessage, place } from './script-format.js';

/** One command of a script; `words` are what follows its name. What it does, it prints. */
type Command = (cluster: ScriptCluster, words: readonly string[]) => void;

const TICKS_MAX = 100;

const word = (words: readonly string[], position: number): string =>
  present(words[position], `Word ${position + 1} of the command is there.`);
const numberAt = (words: readonly string[], position: number): number => Number(word(words, position));
/** `voters=n1,n2` as a list; absent or `-` is empty. */
const listOf = (words: readonly string[], name: string): readonly string[] => {
  const value = words.find((candidate) => candidate.startsWith(`${name}=`))?.slice(name.length + 1) ?? '';
  return value === '' || value === '-' ? [] : value.split(',');
};

const messageNames: Readonly<Record<string, readonly Message['type'][]>> = {
  vote: ['requestVote', 'requestVoteResponse'],
  append: ['appendEntries', 'appendEntriesResponse'],
  heartbeat: ['heartbeat', 'heartbeatResponse'],
  snapshot: ['installSnapshot', 'installSnapshotResponse'],
  timeout: ['timeoutNow'],
};

/** `n1->n2 append 2`: which messages are meant, and how many of them. `n1->*` and `*->n2` work too. */
function select(words: readonly string[]): { matches: (message: Message) => boolean; count: number } {
  const [from, to] = word(words, 0).split('->');
  const types = words.flatMap((candidate) => messageNames[candidate] ?? []);
  const count = words.slice(1).find((candidate) => /^\d+$/.test(candidate));
  const isNamed = (pattern: string | undefined, id: string) => pattern === '*' || pattern === id;
  return {
    matches: (message) =>
      isNamed(from, message.from) &&
      isNamed(to, message.to) &&
      (types.length === 0 || types.includes(message.type)),
    count: count === undefined ? Number.POSITIVE_INFINITY : Number(count),
  };
}

function refusalText(result: object | string): string {
  if (typeof result === 'string') return result;
  return 'detail' in result ? String(result.detail) : String('reason' in result ? result.reason : 'taken');
}

function tick(cluster: ScriptCluster, id: string, ticks: number): void {
  const node = cluster.node(id);
  for (let count = 0; count < ticks; count += 1) {
    cluster.time += 1;
    node.raft.tick();
    node.settle();
  }
}

function campaign(cluster: ScriptCluster, id: string): void {
  const node = cluster.node(id);
  const before = node.campaigns;
  for (let count = 0; count < TICKS_MAX; count += 1) {
    tick(cluster, id, 1);
    if (node.campaigns > before) return;
  }
  cluster.print(`${id} does not campaign`);
}

function change(
  cluster: ScriptCluster,
  leader: string,
  configurationChange: Parameters<ReturnType<ScriptCluster['node']>['raft']['proposeChange']>[0],
): void {
  const node = cluster.node(leader);
  const result = node.raft.proposeChange(configurationChange);
  if (!('index' in result)) cluster.print(`refused: ${refusalText(result)}`);
  node.settle();
}

export const commands: Readonly<Record<string, Command>> = {
  // The cluster and what is on the disks ---------------------------------------------------------------------------
  /** `cluster n1 n2 n3`, or `cluster voters=n1,n2 outgoing=n3 learners=n4`. */
  cluster(cluster, words) {
    const plain = words.filter((candidate) => !candidate.includes('='));
    const voters = plain.length > 0 ? plain : listOf(words, 'voters');
    cluster.found(cluster.configurationOf(voters, listOf(words, 'outgoing'), listOf(words, 'learners')));
  },
  /** `limits messagesInFlight=2`: before `cluster`. */
  limits(cluster, words) {
    for (const setting of words) {
      const [name, value] = setting.split('=');
      assert(name !== undefined && name in cluster.limits, `${name} is a limit.`);
      Object.assign(cluster.limits, { [name]: Number(value) });
    }
  },
  /**
   * `on-disk n1 term=7 log=1,1,4,4 commit=1`: starts n1 again with this on its disk; the entries have these terms, the first
   * being the configuration. What is not said stays as it is.
   */
  'on-disk'(cluster, words) {
    const id = word(words, 0);
    const disk = cluster.disk(id);
    const terms = listOf(words, 'log').map(Number);
    const [first] = disk.entries;
    if (terms.length > 0) {
      disk.entries = terms.map((term, position): Entry => {
        if (position === 0) return present(first, 'The cluster was founded before.');
        return { index: position + 1, term, kind: EntryKind.command, payload: bytesOf(`v${term}`) };
      });
    }
    const { hardState } = disk;
    const [term = hardState.term] = listOf(words, 'term').map(Number);
    const [commit = hardState.commit] = listOf(words, 'commit').map(Number);
    disk.hardState = { term, vote: null, commit };
    cluster.start(id, true);
  },
  /** `forget-configuration n3`: the log of n3, which does not run, begins with a configuration of n1, n2 and n3. */
  'forget-configuration'(cluster, words) {
    const disk = cluster.disk(word(words, 0));
    disk.entries = [cluster.firstEntry(cluster.configurationOf(['n1', 'n2', 'n3'], [], []))];
  },
  crash: (cluster, words) => cluster.crash(word(words, 0)),
  /** `restart n1`: after it was away for longer than an election timeout, or `restart n1 at-once`. */
  restart(cluster, words) {
    const id = word(words, 0);
    cluster.disk(id).tookPart = words[1] === 'at-once';
    cluster.start(id, false);
  },
  /** `wipe n3`: n3 starts with an empty disk, and so as another incarnation. */
  wipe(cluster, words) {
    const id = word(words, 0);
    const [name, count] = cluster.memberCalled(id).incarnation.split('-');
    cluster.startEmpty(id, `${name}-${Number(count) + 1}`);
  },
  'slow-disk'(cluster, words) {
    cluster.node(word(words, 0)).isDiskSlow = true;
  },
  'fast-disk'(cluster, words) {
    const node = cluster.node(word(words, 0));
    node.persist(node.writesUnderWay);
    node.isDiskSlow = false;
    node.settle();
  },
  /** `persist n1` or `persist n1 1`: writes under way reach the disk. */
  persist(cluster, words) {
    const node = cluster.node(word(words, 0));
    assert(node.writesUnderWay > 0, `A write of ${node.id} is under way.`);
    node.persist(words.length > 1 ? numberAt(words, 1) : node.writesUnderWay);
    node.settle();
  },
  /** `hold n1`: nothing is done with what the core wants until `ready n1`, so that inputs gather. */
  hold(cluster, words) {
    cluster.node(word(words, 0)).isHeld = true;
  },
  ready(cluster, words) {
    const node = cluster.node(word(words, 0));
    node.isHeld = false;
    node.ready();
  },

  // Time -----------------------------------------------------------------------------------------------------------
  tick: (cluster, words) => tick(cluster, word(words, 0), numberAt(words, 1)),
  /** `pass 10`: ten ticks for every node, with all that follows. Only what nodes say, apply and answer is shown. */
  pass(cluster, words) {
    for (let count = 0; count < numberAt(words, 0); count += 1) {
      cluster.time += 1;
      for (const node of cluster.all) {
        node.raft.tick();
        node.settle();
      }
      cluster.stabilize(() => true);
    }
    for (const line of cluster.takeOutput()) if (!/ -> | writes /.test(line)) cluster.print(line);
  },
  /** `patience n1 0.5`: the random number that n1 draws from now on. */
  patience(cluster, words) {
    cluster.node(word(words, 0)).randomValue = numberAt(words, 1);
  },
  /** `sleep 5`: time passes in which no node gets a turn, so no node counts it. */
  sleep(cluster, words) {
    cluster.time += numberAt(words, 0);
  },
  /** `held-up n1 12`: n1 got no turn for so long, and notices. */
  'held-up'(cluster, words) {
    const node = cluster.node(word(words, 0));
    cluster.time += numberAt(words, 1);
    node.raft.heldUp(numberAt(words, 1));
    node.settle();
  },
  /** Time passes for n1 until it asks for votes. */
  campaign: (cluster, words) => campaign(cluster, word(words, 0)),
  /** `elect n1`: n1 campaigns and wins, and the cluster comes to rest; nothing is shown. */
  elect(cluster, words) {
    campaign(cluster, word(words, 0));
    cluster.stabilize(() => true);
    cluster.takeOutput();
    const node = cluster.node(word(words, 0));
    cluster.print(
      `${node.id} is ${node.raft.role} of term ${node.raft.term}, committed ${node.raft.commitIndex}`,
    );
  },

  // The network ----------------------------------------------------------------------------------------------------
  /** `deliver n1->n2`, `deliver n1->n2 append 1`, `deliver all`: what is under way now, not what follows from it. */
  deliver(cluster, words) {
    const { matches, count } = words[0] === 'all' ? select(['*->*']) : select(words);
    const messages = cluster.take(matches, count);
    if (messages.length === 0) cluster.print('nothing is under way');
    for (const message of messages) {
      cluster.print(`[${formatMessage(message)}]`);
      cluster.deliver(message);
    }
  },
  drop(cluster, words) {
    const { matches, count } = select(words);
    for (const message of cluster.take(matches, count)) cluster.print(`lost: ${formatMessage(message)}`);
  },
  /** Leaves a second copy of the messages under way, behind all others. */
  duplicate(cluster, words) {
    const { matches, count } = select(words);
    const messages = cluster.underWay.filter(matches).slice(0, count);
    for (const message of messages) cluster.print(`twice under way: ${formatMessage(message)}`);
    cluster.putBack(messages);
  },
  /** `partition n1 / n2 n3`; a node named in two groups is a bridge. */
  partition(cluster, words) {
    cluster.partition(
      words
        .join(' ')
        .split('/')
        .map((group) => group.trim().split(/\s+/)),
    );
  },
  heal: (cluster) => cluster.partition([]),
  /** `stabilize`, or `stabilize n1 n2` for what is between these. `quietly` before the names shows nothing. */
  stabilize(cluster, words) {
    const isQuiet = words[0] === 'quietly';
    const ids = isQuiet ? words.slice(1) : words;
    cluster.stabilize((id) => ids.length === 0 || ids.includes(id));
    if (isQuiet) cluster.takeOutput();
  },
  /** Like `stabilize`, but slow disks stay as they are. */
  'stabilize-network'(cluster, words) {
    while (cluster.underWay.length > 0)
      for (const message of cluster.take(() => true)) cluster.deliver(message);
    if (words[0] === 'quietly') cluster.takeOutput();
  },
  unreachable(cluster, words) {
    const node = cluster.node(word(words, 0));
    node.raft.unreachable(word(words, 1));
    node.settle();
  },

  // What clients and operators ask ---------------------------------------------------------------------------------
  propose(cluster, words) {
    const node = cluster.node(word(words, 0));
    const result = node.raft.propose(words.slice(1).map((text) => bytesOf(expand(text))));
    if (typeof result === 'string') cluster.print(`refused: ${result}`);
    node.settle();
  },
  read(cluster, words) {
    const node = cluster.node(word(words, 0));
    node.raft.read(numberAt(words, 1));
    node.settle();
  },
  /** `lease n1`: whether n1 could answer a read now without asking anybody. */
  lease(cluster, words) {
    const node = cluster.node(word(words, 0));
    cluster.print(`${node.id} ${node.raft.holdsLease(cluster.time) ? 'holds a lease' : 'holds no lease'}`);
  },
  transfer(cluster, words) {
    const node = cluster.node(word(words, 0));
    const result = node.raft.transfer(words[1]);
    if (typeof result === 'string') cluster.print(`refused: ${result}`);
    node.settle();
  },
  /** `add-learner n1 n4`: the leader adds a node that just started with an empty disk. */
  'add-learner'(cluster, words) {
    const id = word(words, 1);
    if (!cluster.all.some((node) => node.id === id))
      cluster.startEmpty(id, cluster.memberCalled(id).incarnation);
    change(cluster, word(words, 0), { kind: 'addLearner', member: cluster.memberCalled(id) });
  },
  promote: (cluster, words) => change(cluster, word(words, 0), { kind: 'promote', id: word(words, 1) }),
  remove: (cluster, words) => change(cluster, word(words, 0), { kind: 'remove', id: word(words, 1) }),
  /** `replace n1 n1 n4 n5`: the leader n1 makes these the voters, and all others leave. */
  replace: (cluster, words) =>
    change(cluster, word(words, 0), { kind: 'replaceVoters', voters: words.slice(1) }),

  // Snapshots ------------------------------------------------------------------------------------------------------
  compact(cluster, words) {
    const node = cluster.node(word(words, 0));
    node.raft.compact(numberAt(words, 1));
    node.settle();
  },
  /** `snapshot n1->n3`: the transfer that n1's core asked for begins; the message leaves when all of it has arrived. */
  snapshot(cluster, words) {
    const [from, to] = word(words, 0).split('->');
    const node = cluster.node(from ?? '');
    const request = node.takeSnapshotRequest(to ?? '');
    const message: Message = {
      type: 'installSnapshot',
      from: node.id,
      fromIncarnation: node.incarnation,
      to: request.to,
      term: request.term,
      snapshot: {
        index: node.appliedIndex,
        term: present(node.raft.termAt(node.appliedIndex), 'What was applied last is in the log.'),
        configuration: node.appliedConfiguration,
      },
    };
    cluster.print(formatMessage(message));
    cluster.putBack([message]);
  },
  'snapshot-fails'(cluster, words) {
    const [from, to] = word(words, 0).split('->');
    const node = cluster.node(from ?? '');
    node.raft.snapshotFailed(node.takeSnapshotRequest(to ?? '').to);
    node.settle();
  },

  // Looking --------------------------------------------------------------------------------------------------------
  /** `status` or `status n1`. */
  status(cluster, words) {
    for (const node of cluster.all) {
      if (words.length > 0 && !words.includes(node.id)) continue;
      const status = node.raft.status();
      const { role, term, leader, commitIndex, durableIndex, lastIndex, lastTerm, configuration } = status;
      cluster.print(
        `${node.id} ${role}, term ${term}, leader ${leader ?? '-'}, log ends at ${place(lastIndex, lastTerm)}, ` +
          `on disk ${durableIndex}, committed ${commitIndex}, ${formatConfiguration(configuration)}`,
      );
      for (const follower of status.followers)
        cluster.print(`  ${follower.id} ${follower.state}, match ${follower.match}, next ${follower.next}`);
    }
  },
  /** `log n1`: the terms of its entries, as Figure 7 draws them. */
  log(cluster, words) {
    for (const node of cluster.all) {
      if (words.length > 0 && !words.includes(node.id)) continue;
      const { raft } = node;
      const { durableIndex } = raft.status();
      const terms = raft.entries(raft.firstIndex, raft.lastIndex).map((entry) => entry.term);
      const start = raft.firstIndex > 1 ? `(from ${raft.firstIndex}) ` : '';
      cluster.print(
        `${node.id}: ${start}${terms.join(' ')}; committed ${raft.commitIndex}, on disk ${durableIndex}`,
      );
    }
  },
};

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** `100xA` stands for a hundred times that letter, so that a script can propose something large. */
function expand(text: string): string {
  const [, count, letter] = /^(\d+)x([A-Za-z])$/.exec(text) ?? [];
  return letter === undefined ? text : letter.repeat(Number(count));
}
