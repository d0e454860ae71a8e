import { isLoopback } from '../addresses.js';
import type { NodeId } from '../raft/types.js';
import type { Secrets } from './proof.js';
import { SecretFile } from './secret-file.js';

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

/** That of a node without a secret. */
export const noPeerAuth: PeerAuth = { mode: 'none', secrets: () => [] };

export interface PeerSettings {
  /** Where this node listens for peers. */
  readonly peer: { readonly host: string };
  /** null for none. */
  readonly clusterSecretFile: string | null;
  readonly peerAuth: 'permissive' | 'required';
}

/** What the settings say about peers. Throws a `RaftkvError` of the code `usage` where the secret cannot be used. */
export class ConfiguredPeerAuth implements PeerAuth {
  readonly mode: PeerAuth['mode'];
  readonly #host: string;
  readonly #file: SecretFile | null;

  constructor({ peer, clusterSecretFile, peerAuth }: PeerSettings) {
    this.#host = peer.host;
    this.#file = clusterSecretFile === null ? null : new SecretFile(clusterSecretFile);
    this.mode = this.#file === null ? 'none' : peerAuth;
  }

  readonly secrets = (): Secrets => this.#file?.secrets ?? [];

  /**
   * What an operator should mend, in sentences.
   *
   * @param unproven The peers that are connected without a proof.
   * @param isConnected Whether any peer is connected.
   */
  warnings(unproven: readonly NodeId[], isConnected: boolean): readonly string[] {
    switch (this.mode) {
      case 'required':
        return this.#file?.warnings ?? [];
      case 'permissive': {
        const allDo = isConnected ? 'All connected peers do.' : 'No peer is connected.';
        const without = unproven.length === 0 ? allDo : `${unproven.join(', ')} did not.`;
        return [
          `Peers need not prove that they know the cluster secret (--peer-auth permissive). ${without} Once all members ` +
            'have the secret, start each of them with --peer-auth required.',
          ...(this.#file?.warnings ?? []),
        ];
      }
      case 'none':
        return isLoopback(this.#host)
          ? []
          : [
              `Anybody who reaches the peer address of this node can take part in the cluster (--insecure-peers). Give all ` +
                'members the same --cluster-secret-file.',
            ];
    }
  }
}
