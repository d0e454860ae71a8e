import type { NodeId } from '../raft/types.js';
import type { Identity, Receiver } from '../transport/contract.js';
import type { Links } from './links.js';
import type { Trace } from './trace.js';
import type { Process, Scheduler } from './virtual-clock.js';

/** How the network behaves at present. */
export interface Weather {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
  /** The share of messages that are late, by up to `lateMsMax`: they are overtaken by many others. */
  readonly lateRate: number;
  readonly lateMsMax: number;
  readonly lossRate: number;
  readonly duplicateRate: number;
}

/** A process that can be reached. */
export interface Endpoint {
  readonly id: NodeId;
  readonly number: number;
  readonly address: string;
  readonly process: Process;
  readonly identity: () => Identity;
  receiver: Receiver | null;
  /** Who asked something last under each name: answers go back the way on which the question came. */
  readonly askers: Map<NodeId, Endpoint>;
  /** Connections that broke, of which the process is not told yet. */
  readonly breaking: Set<NodeId>;
}

/** Something under way between two processes that breaks when they cannot hear each other any more. */
export interface Breakable {
  breakIfCut(): void;
}

/** The network as a call over it sees it. */
export interface Wires {
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly links: Links;
  readonly counts: { snapshotsArrived: number };
  latencyMs(): number;
  /** How long a part of a snapshot is on its way. */
  snapshotPartMs(): number;
  /** How late the last part of a snapshot comes, of which its sender learns nothing any more; null mostly, when all is well. */
  snapshotResetMs(): number | null;
  endpoint(id: NodeId): Endpoint | undefined;
  addCall(call: Breakable): void;
  removeCall(call: Breakable): void;
}
