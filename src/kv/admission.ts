import { type ClusterVersion, notUpgraded } from '../cluster-version.js';
import { RaftkvError } from '../errors.js';
import { type DecodedCommand, decodeCommand, neededVersion } from './command-codec.js';
import type { CommandKind } from './types.js';

/** How many commands are looked through for one that is applied: those before it never were, or not as they came. */
const LOOK = 64;
/** What is remembered, in bytes; beyond it the oldest commands are decoded again when they are applied. */
const REMEMBERED_BYTES_MAX = 16 * 1024 * 1024;
/** What remembering a command takes beside its payload, and what each operation or comparison of a transaction takes, roughly. */
const COMMAND_OVERHEAD_BYTES = 512;
const PART_OVERHEAD_BYTES = 256;

interface Admitted {
  readonly payload: Uint8Array;
  readonly decoded: DecodedCommand;
}

/**
 * Lets commands into the log that can be applied, and remembers them until they are, so that each is decoded once. Commands are
 * applied in the order in which they were admitted, so the one that is wanted nearly always comes first.
 */
export class Admission {
  #admitted: Admitted[] = [];
  /** Those before it are gone. */
  #first = 0;
  #bytes = 0;

  /** Decodes and checks a command before it may enter the log. Returns null, or a sentence that says what is wrong with it. */
  refuse(payload: Uint8Array): string | null {
    try {
      this.#admit(payload);
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /**
   * The same for a command that this node is about to propose in a cluster of this version: `bad_request`, or
   * `cluster_not_upgraded` where a member may run a program that could not read it.
   *
   * @param raisingTo The version to which the command may raise the cluster, because every member speaks it; null for none.
   * @param takes Which kinds of commands the proposing side may send.
   */
  refuseProposal(
    payload: Uint8Array,
    clusterVersion: ClusterVersion,
    raisingTo: ClusterVersion | null,
    takes: (kind: CommandKind) => boolean,
  ): RaftkvError | null {
    let decoded: DecodedCommand;
    try {
      decoded = this.#admit(payload);
    } catch (error) {
      const wrong = error instanceof Error ? error.message : String(error);
      return new RaftkvError('bad_request', `${wrong} Nothing was changed.`);
    }
    const { command } = decoded;
    if (!takes(command.kind)) {
      return new RaftkvError('bad_request', `Only a leader proposes a ${command.kind}. Nothing was changed.`);
    }
    if (command.kind === 'raiseVersion') {
      if (command.version <= Math.max(clusterVersion, raisingTo ?? 0)) return null;
      return new RaftkvError(
        'cluster_not_upgraded',
        `Only the leader raises the cluster version, when every member speaks version ${command.version}. Nothing was changed; see ` +
          '"raftkv upgrade status".',
        { clusterVersion, neededVersion: command.version },
      );
    }
    const needed = neededVersion(command);
    return needed <= clusterVersion ? null : notUpgraded(clusterVersion, needed, `This ${command.kind}`);
  }

  /** The command of an entry that is about to be applied. Throws as {@link decodeCommand} does. */
  take(payload: Uint8Array): DecodedCommand {
    const end = Math.min(this.#first + LOOK, this.#admitted.length);
    for (let at = this.#first; at < end; at += 1) {
      const admitted = this.#admitted[at];
      if (admitted?.payload !== payload) continue;
      this.#forgetBefore(at + 1);
      return admitted.decoded;
    }
    this.#forgetBefore(end);
    return decodeCommand(payload);
  }

  #admit(payload: Uint8Array): DecodedCommand {
    const decoded = decodeCommand(payload);
    this.#admitted.push({ payload, decoded });
    this.#bytes += bytesOf(payload, decoded);
    while (this.#bytes > REMEMBERED_BYTES_MAX) this.#forgetBefore(this.#first + 1);
    return decoded;
  }

  #forgetBefore(end: number): void {
    for (let at = this.#first; at < end; at += 1) {
      const admitted = this.#admitted[at];
      if (admitted !== undefined) this.#bytes -= bytesOf(admitted.payload, admitted.decoded);
    }
    this.#first = end;
    if (end === this.#admitted.length) {
      this.#admitted = [];
      this.#first = 0;
    } else if (end >= 2 * LOOK) {
      // Rarely enough to cost nothing, and soon enough that nothing is held for long.
      this.#admitted = this.#admitted.slice(end);
      this.#first = 0;
    }
  }
}

function bytesOf(payload: Uint8Array, { command }: DecodedCommand): number {
  const bytes = payload.length + COMMAND_OVERHEAD_BYTES;
  if (command.kind !== 'txn') return bytes;
  const { compare, success, failure } = command;
  return bytes + (compare.length + success.length + failure.length) * PART_OVERHEAD_BYTES;
}
