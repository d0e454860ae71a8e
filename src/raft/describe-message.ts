import type { Message } from './types.js';

/** A message in a few words, for people who follow a node message by message. */
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
