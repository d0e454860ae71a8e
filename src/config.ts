import type { NodeId } from './raft/types.js';

export {
  clientUrlPattern,
  hostAndPortPattern,
  incarnationPattern,
  nodeIdPattern,
  opaqueIdPattern,
} from './raft/names.js';

/** A host and a port to listen on. */
export interface ListenAddress {
  readonly host: string;
  /** 0 lets the system choose; only tests do that. */
  readonly port: number;
}

/** How a node with an empty data directory comes to its cluster. */
export type FirstStart =
  /**
   * Form a new cluster with exactly these members, this node among them. Where they have one already, in which this node is not
   * known as it is now, ask at the client URLs in `join` to be added to it.
   */
  | {
      readonly kind: 'initialCluster';
      readonly members: readonly { id: NodeId; peerAddress: string }[];
      readonly join?: readonly string[];
    }
  /** Ask a running cluster, at any of these client URLs, to add this node. */
  | { readonly kind: 'join'; readonly endpoints: readonly string[] }
  /** Be a cluster of one. */
  | { readonly kind: 'single' }
  /** Nothing was said: fine for a directory that knows its cluster, refused for an empty one. */
  | { readonly kind: 'none' };

/** Everything that a node needs to know to start, after flags, environment, file and defaults were merged. */
export interface ServerConfig {
  readonly id: NodeId;
  readonly dataDirectory: string;
  readonly http: ListenAddress;
  readonly peer: ListenAddress;
  /** Where clients reach this node: `http://host:port`. */
  readonly advertiseHttp: string;
  /** Where the other members reach this node: `host:port`. */
  readonly advertisePeer: string;
  /** The file with the secret by which the members of a cluster know each other; null for none. */
  readonly clusterSecretFile: string | null;
  /** Whether peers must prove that they know it, or may. */
  readonly peerAuth: 'permissive' | 'required';
  readonly firstStart: FirstStart;
  /** What a follower does with a request that needs the leader: answer 307, or do the work itself. */
  readonly clientRouting: 'redirect' | 'serve';
  /** Names by which clients may call this node, besides those that it knows itself. */
  readonly allowedHosts: readonly string[];
  /** Origins whose web pages may use this node, such as `https://app.example.com`. */
  readonly corsOrigins: readonly string[];
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';
  /** The largest value that a PUT accepts. */
  readonly valueBytesMax: number;
  /** How long all members must have spoken a newer cluster version before the leader raises it. */
  readonly upgradeDelayMs: number;
  /** Compact the log when it holds more entries than this; twice as many are never held. */
  readonly logEntriesMax: number;
  /** The same bound in bytes: the log is kept in memory, so this is memory too. */
  readonly logBytesMax: number;
}
