import type { Core } from './core.js';
import { advanceCommit, noteContact } from './replication.js';
import type { Index, InstallSnapshot, InstallSnapshotResponse, NodeId } from './types.js';

/** Log compaction and snapshots (§7). The state itself is the shell's; the core knows only the point it stands for. */

/**
 * Follower: a snapshot is staged on this disk. Takes it in place of the log, unless the log is as far already; one that
 * is older than what is committed here is answered with what this node has (correctness rule 24).
 */
export function handleInstallSnapshot(core: Core, message: InstallSnapshot): void {
  const { snapshot } = message;
  if (snapshot.index <= core.log.commitIndex) {
    core.event(
      'snapshotRefused',
      `A snapshot at index ${snapshot.index} is not newer than the commit index ${core.log.commitIndex}.`,
    );
    respond(core, message, core.log.commitIndex);
    return;
  }
  if (core.log.termAt(snapshot.index) === snapshot.term) {
    // The log holds that very entry, so it holds everything before it as well (Log Matching): nothing to replace.
    core.log.commitTo(snapshot.index);
    respond(core, message, snapshot.index);
    return;
  }
  core.refusedInTerm = null;
  core.log.resetTo(snapshot);
  core.configurations = [{ index: snapshot.index, configuration: snapshot.configuration }];
  core.handedOutIndex = snapshot.index;
  core.outbox.installSnapshot(snapshot);
  respond(core, message, snapshot.index);
}

function respond(core: Core, message: InstallSnapshot, matchIndex: Index): void {
  core.outbox.sendAfterPersist({
    type: 'installSnapshotResponse',
    ...core.envelope(message.from),
    success: true,
    matchIndex,
  });
}

/** Leader: the follower holds the snapshot, or the transfer failed; either way the log is probed again. */
export function handleInstallSnapshotResponse(core: Core, message: InstallSnapshotResponse): void {
  const progress = core.progress.get(message.from);
  if (!progress) return;
  noteContact(core, progress);
  if (!message.success) {
    handleSnapshotFailure(core, message.from);
    return;
  }
  const isNews = progress.acknowledged(message.matchIndex);
  if (progress.state === 'snapshot') progress.becomeProbe();
  if (isNews) advanceCommit(core);
}

/** Leader: a transfer broke. The next heartbeat's answer lets this node probe, and send another if it is still needed. */
export function handleSnapshotFailure(core: Core, id: NodeId): void {
  const progress = core.progress.get(id);
  if (progress?.state !== 'snapshot') return;
  progress.becomeProbe();
  progress.probeSent = true;
}

/** Forgets the log up to `index`, which is durable in the state machine (§7, correctness rule 23). */
export function compactLog(core: Core, index: Index): void {
  if (index <= core.log.compactedIndex) return;
  const configuration = core.configurationAt(index);
  core.log.compactTo(index);
  while ((core.configurations[1]?.index ?? Number.POSITIVE_INFINITY) <= index) core.configurations.shift();
  core.outbox.compactTo({ index, term: core.log.termAt(index) ?? 0, configuration });
}
