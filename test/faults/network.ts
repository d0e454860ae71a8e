/** One direction between two nodes. */
export interface Link {
  readonly from: string;
  readonly to: string;
}

/** Where one node is, and how its process gets there. */
export interface Place {
  /** Client and peer addresses are at this host. */
  readonly host: string;
  readonly httpPort: number;
  readonly peerPort: number;
  /** What the program's command line begins with. */
  readonly launcher: readonly string[];
  readonly runtimeFlags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Blocked traffic vanishes, and comes later or never; or it is refused, which breaks connections at once. */
export type Manner = 'silent' | 'refused';

/** What the nodes' traffic among each other goes through. Clients reach every node at any time. */
export interface FaultNetwork {
  /** In words, which kind it is. */
  readonly description: string;
  place(id: string): Place;
  /** From now on nothing passes on these links; all others pass everything. */
  block(links: readonly Link[], manner: Manner): Promise<void>;
  close(): Promise<void>;
}
