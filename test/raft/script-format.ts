import { decodeConfiguration } from '../../src/raft/configuration.js';
import {
  type Configuration,
  type Entry,
  EntryKind,
  type Message,
  type Persist,
  type SnapshotMetadata,
} from '../../src/raft/types.js';

/** How scripts show things. A place in the log is `index/term`. */

export const place = (index: number, term: number): string => `${index}/${term}`;

export function formatConfiguration(configuration: Configuration): string {
  const { voters, outgoingVoters, learners } = configuration;
  const outgoing = outgoingVoters.length > 0 ? ` leaving ${outgoingVoters.join(' ')}` : '';
  const learning = learners.length > 0 ? ` learners ${learners.join(' ')}` : '';
  return `{${voters.join(' ')}${outgoing}${learning}}`;
}

export function formatEntry(entry: Entry): string {
  const where = place(entry.index, entry.term);
  if (entry.kind === EntryKind.noop) return `${where} noop`;
  if (entry.kind === EntryKind.configuration)
    return `${where} ${formatConfiguration(decodeConfiguration(entry.payload))}`;
  const text = new TextDecoder().decode(entry.payload);
  return text.length > 20 ? `${where} ${text.length} bytes` : `${where} ${text}`;
}

/** A run of entries; the middle of a long one is left out. */
export function formatEntries(entries: readonly Entry[]): string {
  if (entries.length <= 6) return entries.map(formatEntry).join(', ');
  const shown = [...entries.slice(0, 2), ...entries.slice(-1)].map(formatEntry);
  return `${shown[0]}, ${shown[1]}, (${entries.length - 3} more), ${shown[2]}`;
}

export function formatMessage(message: Message): string {
  return `${message.from} -> ${message.to}  ${formatContent(message)}`;
}

function formatContent(message: Message): string {
  const term = `term ${message.term}`;
  switch (message.type) {
    case 'requestVote': {
      const name = message.preVote ? 'PreVote' : 'RequestVote';
      const transfer = message.leadershipTransfer ? ', the leader asked for it' : '';
      return `${name} ${term}, log ends at ${place(message.lastLogIndex, message.lastLogTerm)}${transfer}`;
    }
    case 'requestVoteResponse': {
      const answer = message.granted ? 'granted' : message.removed ? 'refused, you were removed' : 'refused';
      return `${message.preVote ? 'PreVote' : 'RequestVote'} ${term}: ${answer}`;
    }
    case 'appendEntries': {
      const entries = message.entries.length === 0 ? 'nothing' : formatEntries(message.entries);
      const previous = place(message.previousIndex, message.previousTerm);
      return `Append ${term}, after ${previous}: ${entries}; commit ${message.commitIndex}`;
    }
    case 'appendEntriesResponse':
      return message.success
        ? `Append ${term}: holds up to ${message.matchIndex}`
        : `Append ${term}: differs at ${message.rejectedIndex}, may agree at ${place(message.hintIndex, message.hintTerm)}`;
    case 'heartbeat':
      return `Heartbeat ${term}, round ${message.round}, commit ${message.commitIndex}`;
    case 'heartbeatResponse':
      return `Heartbeat ${term}, round ${message.round}: heard`;
    case 'installSnapshot':
      return `Snapshot ${term}, ${formatSnapshot(message.snapshot)}`;
    case 'installSnapshotResponse':
      return `Snapshot ${term}: ${message.success ? `holds up to ${message.matchIndex}` : 'failed'}`;
    case 'timeoutNow':
      return `TimeoutNow ${term}`;
  }
}

function formatSnapshot(snapshot: SnapshotMetadata): string {
  return `at ${place(snapshot.index, snapshot.term)} ${formatConfiguration(snapshot.configuration)}`;
}

/** What a batch holds, part by part. */
export function formatPersist(persist: Persist): string {
  const parts: string[] = [];
  const { hardState, snapshot, compact, truncateFrom, entries } = persist;
  if (hardState)
    parts.push(`term ${hardState.term}, vote ${hardState.vote ?? '-'}, commit ${hardState.commit}`);
  if (snapshot) parts.push(`the snapshot ${formatSnapshot(snapshot)}`);
  if (compact) parts.push(`the log starts after ${place(compact.index, compact.term)}`);
  if (truncateFrom !== null) parts.push(`nothing from ${truncateFrom} on`);
  if (entries.length > 0) parts.push(formatEntries(entries));
  return parts.join('; ');
}
