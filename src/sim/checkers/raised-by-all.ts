import type { ClusterVersion } from '../../cluster-version.js';
import { decodeCommand } from '../../kv/command-codec.js';
import { decodeConfiguration, emptyConfiguration } from '../../raft/configuration.js';
import { type Entry, EntryKind, type Index } from '../../raft/types.js';
import { type Checker, type NodeView, Violation } from './checker.js';

/** The newest format of commands in cluster version 1; its number is the second byte of every encoded command. */
const FORMAT_OF_VERSION_1 = 2;

/**
 * The cluster version is raised only when a program that speaks the new one runs, or ran, under the present incarnation of every
 * member; and before that no command is in the log that a program of the version before could not read.
 */
export class RaisedByAll implements Checker {
  readonly property =
    'The cluster version is raised only when every member supports it (docs/operations.md, Upgrade)';
  private readonly spoken = new Map<string, ClusterVersion>();
  private configuration = emptyConfiguration;
  private clusterVersion: ClusterVersion = 1;
  private appliedThrough: Index = 0;

  started({ id, incarnation, program }: NodeView): void {
    const key = `${id} ${incarnation}`;
    this.spoken.set(key, Math.max(program.newest, this.spoken.get(key) ?? 0));
  }

  applied(node: NodeView, { index, kind, payload }: Entry): void {
    // What others apply later is the same, which is another property.
    if (index <= this.appliedThrough) return;
    this.appliedThrough = index;
    if (kind === EntryKind.configuration) this.configuration = decodeConfiguration(payload);
    if (kind !== EntryKind.command || (payload[1] ?? 0) <= FORMAT_OF_VERSION_1) return;
    const { command } = decodeCommand(payload);
    if (command.kind !== 'raiseVersion') {
      if (this.clusterVersion > 1) return;
      throw new Violation(
        this.property,
        `${node.id} applies a ${command.kind} of format ${payload[1]} at index ${index}, and the cluster is at version 1.`,
      );
    }
    const { version } = command;
    const behind = this.configuration.members.filter(
      ({ id, incarnation }) => (this.spoken.get(`${id} ${incarnation}`) ?? 0) < version,
    );
    if (behind.length > 0) {
      throw new Violation(
        this.property,
        `index ${index} raises the version to ${version}, and ${behind.map(({ id }) => id).join(', ')} never spoke it.`,
      );
    }
    this.clusterVersion = Math.max(this.clusterVersion, version);
  }
}
