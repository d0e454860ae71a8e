import type { Secrets } from './proof.js';

/** How a node makes sure who its peers are. */
export interface PeerAuth {
  /**
   * `none`: this node holds no secret. `permissive`: it proves itself where the peer can, and accepts peers that cannot.
   * `required`: nobody is heard without a proof.
   */
  readonly mode: 'none' | 'permissive' | 'required';
  /** Asked for with each connection; empty only in the mode `none`. */
  readonly secrets: () => Secrets;
}

export const noPeerAuth: PeerAuth = { mode: 'none', secrets: () => [] };
