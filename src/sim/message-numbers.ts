import type { Message } from '../raft/types.js';

/** Numbers that tell messages apart, for the running hash of the trace. */
export function messageNumbers(message: Message): readonly [number, number] {
  switch (message.type) {
    case 'requestVote':
      return [message.term * 16 + (message.preVote ? 1 : 2), message.lastLogIndex];
    case 'requestVoteResponse':
      return [message.term * 16 + (message.granted ? 3 : 4), message.preVote ? 1 : 0];
    case 'appendEntries':
      return [message.term * 16 + 5, message.previousIndex * 4096 + message.entries.length];
    case 'appendEntriesResponse':
      return [message.term * 16 + (message.success ? 6 : 7), message.matchIndex + message.rejectedIndex];
    case 'heartbeat':
      return [message.term * 16 + 8, message.round * 4096 + message.commitIndex];
    case 'heartbeatResponse':
      return [message.term * 16 + 9, message.round];
    case 'installSnapshot':
      return [message.term * 16 + 10, message.snapshot.index];
    case 'installSnapshotResponse':
      return [message.term * 16 + 11, message.matchIndex];
    case 'timeoutNow':
      return [message.term * 16 + 12, 0];
  }
}
