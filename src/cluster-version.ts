import { RaftkvError } from './errors.js';

/**
 * The cluster version: the highest version that every member speaks, agreed through the log and kept in the state. It covers
 * every format that members share or leave behind for an older program:
 *
 * | version | commands (proto/command.proto) | state (kv/meta-codec.ts) | log, snapshot, configuration, wire |
 * | --- | --- | --- | --- |
 * | 1 | formats 1 and 2 | formats 1 to 4 | format 1 each |
 * | 2 | format 3 as well | format 5 as well, with the sums of live-sums.ts | format 1 each, with additional fields on the wire |
 *
 * A program that speaks version 2 writes and sends nothing newer than version 1 until the cluster version is 2, so that it
 * runs beside older programs and its data directory can still be given back to one. Whatever needs a newer format asks
 * {@link requireClusterVersion}, or compares `clusterVersion` of the store where it only chooses a format.
 */
export type ClusterVersion = number;

/** The newest cluster version that this program speaks. */
export const CLUSTER_VERSION_MAX: ClusterVersion = 2;
/** The oldest cluster version that this program still supports: it may be a member of a cluster of this version. */
export const CLUSTER_VERSION_MIN: ClusterVersion = 1;

/** Which cluster versions a program speaks, both ends included. */
export interface VersionRange {
  readonly oldest: ClusterVersion;
  readonly newest: ClusterVersion;
}

/** What this program speaks. */
export const SPOKEN_VERSIONS: VersionRange = { oldest: CLUSTER_VERSION_MIN, newest: CLUSTER_VERSION_MAX };
/** What a node speaks that says nothing about it: programs from before there were cluster versions. */
export const UNREPORTED_VERSIONS: VersionRange = { oldest: 1, newest: 1 };

/** Why a node cannot be in a cluster of this version, a sentence; '' when it can. */
export function objectionToVersions(
  id: string,
  versions: VersionRange,
  clusterVersion: ClusterVersion,
): string {
  const { oldest, newest } = versions;
  if (newest < clusterVersion) {
    return (
      `${id} speaks cluster version ${newest} and the cluster has moved to version ${clusterVersion}: start ${id} with the ` +
      'version of raftkv that the other members run.'
    );
  }
  if (oldest > clusterVersion) {
    return (
      `${id} needs cluster version ${oldest} and the cluster is at version ${clusterVersion}: upgrade in steps, first to a ` +
      `version of raftkv that speaks both, and wait until the cluster has moved to version ${oldest}.`
    );
  }
  return '';
}

/**
 * Throws `cluster_not_upgraded` while the cluster version is below the one that a feature needs.
 *
 * @param current The store's `clusterVersion`.
 * @param what What was asked for, as the beginning of a sentence: "Adding to a counter".
 */
export function requireClusterVersion(current: ClusterVersion, needed: ClusterVersion, what: string): void {
  if (current < needed) throw notUpgraded(current, needed, what);
}

/** The error itself. */
export function notUpgraded(current: ClusterVersion, needed: ClusterVersion, what: string): RaftkvError {
  return new RaftkvError(
    'cluster_not_upgraded',
    `${what} needs cluster version ${needed}, and the cluster is at version ${current}. It moves on when every member runs a ` +
      'program that speaks the newer version: see "raftkv upgrade status".',
    { clusterVersion: current, neededVersion: needed },
  );
}
