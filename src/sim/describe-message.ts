import type { Message } from '../raft/types.js';

/** A message in a few words, for the trace. */
export function describeMessage(message: Message): string {
  const { term } = message;
  switch (message.type) {
    case 'requestVote': {
      const { preVote, lastLogIndex, lastLogTerm, leadershipTransfer } = message;
      const transfer = leadershipTransfer ? ' (transfer)' : '';
      return `${preVote ? 'pre-vote?' : 'vote?'} term ${term} log ${lastLogIndex}/${lastLogTerm}${transfer}`;
    }
    case 'requestVoteResponse':
      return `${message.preVote ? 'pre-vote' : 'vote'} ${message.granted ? 'yes' : 'no'} term ${term}`;
    case 'appendEntries': {
      const { previousIndex, previousTerm, entries, commitIndex } = message;
      const last = previousIndex + entries.length;
      const what = entries.length === 0 ? 'nothing' : `${previousIndex + 1}..${last}`;
      return `append ${what} term ${term} after ${previousIndex}/${previousTerm} commit ${commitIndex}`;
    }
    case 'appendEntriesResponse': {
      const { success, matchIndex, rejectedIndex, hintIndex, hintTerm } = message;
      if (success) return `appended term ${term} match ${matchIndex}`;
      return `append refused term ${term} at ${rejectedIndex} hint ${hintIndex}/${hintTerm}`;
    }
    case 'heartbeat':
      return `heartbeat term ${term} round ${message.round} commit ${message.commitIndex}`;
    case 'heartbeatResponse':
      return `heartbeat answer term ${term} round ${message.round}`;
    case 'installSnapshot':
      return `snapshot term ${term} at ${message.snapshot.index}/${message.snapshot.term}`;
    case 'installSnapshotResponse':
      return `snapshot ${message.success ? 'taken' : 'refused'} term ${term} match ${message.matchIndex}`;
    case 'timeoutNow':
      return `campaign now! term ${term}`;
  }
}

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
