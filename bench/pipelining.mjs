import { configurationOfVoters } from '../dist/raft/configuration.js';
import { Raft } from '../dist/raft/raft.js';

/**
 * What pipelining gains, on the pure core with a virtual network and disk: one append in flight, or several, with the same
 * proposals arriving one after the other. Time is virtual, so the figures are the same on every machine.
 */
const ROUND_TRIP_MS = 2;
const SYNC_MS = 1;
const PROPOSAL_EVERY_MS = 0.25;
const PROPOSALS = 4000;

export function comparePipelining() {
  console.log(
    `Virtual time: round trip ${ROUND_TRIP_MS} ms, sync ${SYNC_MS} ms, a proposal every ${PROPOSAL_EVERY_MS} ms.\n`,
  );
  console.log('appends in flight  median commit ms  p99 commit ms  appends sent');
  for (const inFlight of [1, 2, 8]) {
    const { medianMs, p99Ms, appends } = run(inFlight);
    console.log(
      `${String(inFlight).padEnd(17)}  ${medianMs.toFixed(2).padStart(16)}  ${p99Ms.toFixed(2).padStart(13)}  ${String(appends).padStart(12)}`,
    );
  }
}

function run(messagesInFlightMax) {
  const events = [];
  let now = 0;
  const at = (time, task) => {
    let place = events.length;
    while (place > 0 && events[place - 1].time > time) place -= 1;
    events.splice(place, 0, { time, task });
  };
  const proposedAt = new Map();
  const latencies = [];
  let appends = 0;

  const members = ['n1', 'n2', 'n3'].map((id) => ({
    id,
    incarnation: id,
    peerAddress: `${id}:1`,
    clientUrl: '',
  }));
  const configuration = configurationOfVoters(members);
  const nodes = new Map(
    members.map(({ id }) => [id, { raft: start(id), busy: false, waiting: [], delayed: [], lastSend: 0 }]),
  );

  function start(id) {
    return new Raft(
      {
        id,
        incarnation: id,
        electionTimeoutTicks: 1000,
        heartbeatTicks: 100,
        appendBytesMax: 1 << 20,
        messagesInFlightMax,
        bytesInFlightMax: 8 << 20,
        uncommittedBytesMax: 64 << 20,
        random: () => 0,
      },
      {
        hardState: { term: 1, vote: null, commit: 0 },
        compacted: { index: 0, term: 0, configuration },
        entries: [],
        appliedIndex: 0,
      },
    );
  }

  function perform(id) {
    const node = nodes.get(id);
    while (node.raft.hasReady()) {
      const ready = node.raft.takeReady();
      for (const message of ready.send) send(message);
      if (ready.persist) node.waiting.push(ready.persist);
      node.delayed.push(...ready.sendAfterPersist);
      if (id === 'n1') {
        for (const entry of ready.committed) {
          if (proposedAt.has(entry.index)) latencies.push(now - proposedAt.get(entry.index));
        }
      }
    }
    if (node.busy || node.waiting.length === 0) return;
    const { sequence } = node.waiting.at(-1);
    node.waiting = [];
    node.busy = true;
    at(now + SYNC_MS, () => {
      node.busy = false;
      node.raft.persisted(sequence);
      node.delayed = node.delayed.filter((delayed) => {
        if (delayed.sequence > sequence) return true;
        send(delayed.message);
        return false;
      });
      perform(id);
    });
  }

  function send(message) {
    if (message.type === 'appendEntries' && message.entries.length > 0) appends += 1;
    at(now + ROUND_TRIP_MS / 2, () => {
      nodes.get(message.to).raft.step(message);
      perform(message.to);
    });
  }

  const leader = nodes.get('n1');
  for (let tick = 0; leader.raft.role !== 'leader'; tick += 1) {
    leader.raft.tick();
    perform('n1');
    while (events.length > 0 && leader.raft.role !== 'leader' && tick >= 1000) next();
  }
  while (events.length > 0) next();
  for (let number = 0; number < PROPOSALS; number += 1) {
    at(now + number * PROPOSAL_EVERY_MS, () => {
      const place = leader.raft.propose([new Uint8Array(256)]);
      proposedAt.set(place.firstIndex, now);
      perform('n1');
    });
  }
  while (events.length > 0) next();
  latencies.sort((a, b) => a - b);
  if (latencies.length !== PROPOSALS)
    throw new Error(`${latencies.length} of ${PROPOSALS} proposals were committed.`);
  return {
    medianMs: latencies[latencies.length >> 1],
    p99Ms: latencies[Math.floor(latencies.length * 0.99)],
    appends,
  };

  function next() {
    const event = events.shift();
    now = event.time;
    event.task();
  }
}
