import { Metadata, status } from '@grpc/grpc-js';
import { type ClusterVersion, objectionToVersions, UNREPORTED_VERSIONS } from '../cluster-version.js';
import type { NodeId } from '../raft/types.js';
import type { Identity } from './contract.js';
import { isIdentity, isRecipient } from './validation.js';
import { type WireIdentity, wire } from './wire.js';

/** The one version of the peer protocol that this build speaks. */
export const PROTOCOL_VERSION = 1;

const METADATA_KEY = 'raftkv-introduction-bin';

/** Who calls, and for whom the call is meant; in the metadata of every call and every answer. */
export interface Introduction {
  readonly protocolVersion: number;
  readonly sender: Identity;
  /** '' for whoever answers. */
  readonly recipient: NodeId;
  /** '' for any incarnation. */
  readonly recipientIncarnation: string;
}

/** The recipient of a handshake: whoever answers. */
export const anyone = { id: '', incarnation: '' } as const;

export function introduce(
  sender: Identity,
  recipient: { readonly id: NodeId; readonly incarnation: string },
): Metadata {
  const metadata = new Metadata();
  const introduction = {
    protocolVersion: PROTOCOL_VERSION,
    sender,
    recipient: recipient.id,
    recipientIncarnation: recipient.incarnation,
  };
  metadata.set(METADATA_KEY, wire.introduction.encode(introduction));
  return metadata;
}

/** The introduction in a call's metadata; undefined when it has none, or one that no node makes. */
export function readIntroduction(metadata: Metadata): Introduction | undefined {
  const [value] = metadata.get(METADATA_KEY);
  if (!Buffer.isBuffer(value)) return undefined;
  try {
    const { protocolVersion, sender, recipient, recipientIncarnation } = wire.introduction.decode(value);
    if (!isIdentity(sender) || !isRecipient(recipient, recipientIncarnation)) return undefined;
    return { protocolVersion, sender: identityOf(sender), recipient, recipientIncarnation };
  } catch {
    return undefined;
  }
}

/** What `isIdentity` found sound. */
export function identityOf(sent: WireIdentity): Identity {
  const { cluster, id, incarnation, peerAddress, clientUrl } = sent;
  return { cluster, id, incarnation, peerAddress, clientUrl, versions: sent.versions ?? UNREPORTED_VERSIONS };
}

/** Why a call is not served; the calling side shows `details` as the reason. Shaped as gRPC wants an error. */
export interface Refusal {
  readonly code: status.FAILED_PRECONDITION | status.ABORTED;
  readonly details: string;
}

/** The refusal of a call that may succeed soon, without anybody doing anything. */
export function notNow(details: string): Refusal {
  return { code: status.ABORTED, details };
}

function refuse(details: string): Refusal {
  return { code: status.FAILED_PRECONDITION, details };
}

export function isRefusal(result: object): result is Refusal {
  return 'details' in result;
}

/** The introduction of a caller that speaks this protocol, whoever it is and whomever it means. */
export function verifyVersion(metadata: Metadata): Introduction | Refusal {
  const introduction = readIntroduction(metadata);
  if (introduction === undefined) return refuse('The caller did not introduce itself as a raftkv node.');
  const { protocolVersion } = introduction;
  if (protocolVersion === PROTOCOL_VERSION) return introduction;
  return refuse(
    `The caller speaks version ${protocolVersion} of the peer protocol; this node speaks version ${PROTOCOL_VERSION}.`,
  );
}

/**
 * The introduction of a caller that `me` serves: of the same cluster, meaning this very node, and able to be in a cluster of
 * this version.
 */
export function verify(
  me: Identity,
  clusterVersion: ClusterVersion,
  metadata: Metadata,
): Introduction | Refusal {
  const introduction = verifyVersion(metadata);
  if (isRefusal(introduction)) return introduction;
  const { sender, recipient, recipientIncarnation } = introduction;
  const here = `the node at ${me.peerAddress}`;
  if (me.cluster === '') return notNow(`${me.id} is not ready yet: it does not know its cluster.`);
  if (sender.cluster !== me.cluster) {
    return refuse(
      `${sender.id} is in cluster ${sender.cluster}; ${here} is ${me.id} of cluster ${me.cluster}.`,
    );
  }
  if (recipient !== me.id) return refuse(`The call is meant for ${recipient}; ${here} is ${me.id}.`);
  if (recipientIncarnation !== '' && recipientIncarnation !== me.incarnation) {
    return refuse(
      `The call is meant for incarnation ${recipientIncarnation} of ${me.id}; ${here} is incarnation ${me.incarnation}. Was its data directory replaced?`,
    );
  }
  const objection = objectionToVersions(sender.id, sender.versions, clusterVersion);
  if (objection !== '') return refuse(objection);
  return introduction;
}
