import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { type Preamble, ProofFailure } from './proof-frames.js';
import { isParty } from './validation.js';
import type { WireParty } from './wire.js';

/**
 * Two nodes prove to each other that they know the cluster secret, on each connection, before HTTP/2 begins on it:
 *
 * 1. The dialer opens with a nonce and who it is.
 * 2. The listener challenges with a nonce of its own and who it is. A dialer that meant another node ends here.
 * 3. The dialer answers with a proof for each secret that it holds.
 * 4. The listener finds a secret of its own that fits, and accepts with its own proof by that secret.
 *
 * A proof is an HMAC-SHA-256 over a label, the role of the side that proves, both nonces, and what both sides say they
 * are. The nonces make a recorded exchange useless; the role makes a proof useless when it is sent back; the names make
 * it useless at any other node. Since the dialer offers a proof for each of its secrets, two nodes that share any secret
 * understand each other, and secrets are rotated without an order in which the nodes must take part. An attacker who
 * can change what travels between two nodes is not kept out: nothing after the proof is encrypted or authenticated.
 */

/** Who proves, as it says in the exchange. */
export type Party = WireParty;

const NONCE_BYTES = 32;
const PROOF_BYTES = 32;
/** A node holds one secret, or two while they are rotated. */
export const SECRETS_MAX = 2;
const LABEL = 'raftkv peer proof 1';

export type Secrets = readonly Buffer[];

type Role = 'dialer' | 'listener';

interface Transcript {
  readonly dialerNonce: Uint8Array;
  readonly listenerNonce: Uint8Array;
  readonly dialer: Party;
  readonly listener: Party;
}

function proofBy(secret: Buffer, role: Role, transcript: Transcript): Buffer {
  const { dialerNonce, listenerNonce, dialer, listener } = transcript;
  const hmac = createHmac('sha256', secret);
  const fields = [
    LABEL,
    role,
    dialerNonce,
    listenerNonce,
    ...[dialer, listener].flatMap(({ cluster, id, incarnation }) => [cluster, id, incarnation]),
  ];
  for (const field of fields) {
    const bytes = Buffer.from(field);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hmac.update(length).update(bytes);
  }
  return hmac.digest();
}

function isProof(offered: Uint8Array, expected: Buffer): boolean {
  return offered.length === PROOF_BYTES && timingSafeEqual(offered, expected);
}

/**
 * The dialer's side. Resolves with who the listener proved to be.
 *
 * @param target Whom the connection is meant to reach; '' for whichever node, or incarnation, answers.
 */
export async function proveAsDialer(
  preamble: Preamble,
  me: Party,
  target: { readonly id: string; readonly incarnation: string },
  secrets: Secrets,
): Promise<Party> {
  const dialer = partyOf(me);
  const dialerNonce = randomBytes(NONCE_BYTES);
  preamble.write({ opening: { nonce: dialerNonce, dialer } });
  const { challenge, refusal } = await preamble.read();
  if (refusal) throw refusedWith(refusal.code);
  const listener = challenge?.listener;
  if (!challenge || challenge.nonce.length !== NONCE_BYTES || !isParty(listener)) {
    throw new ProofFailure('malformed');
  }
  const isMeant =
    (target.id === '' || listener.id === target.id) &&
    (target.incarnation === '' || listener.incarnation === target.incarnation);
  // An attacker who passes everything on may lead a node to itself.
  if (!isMeant || isSame(listener, me)) throw new ProofFailure('wrong_peer', listener);
  const transcript = { dialerNonce, listenerNonce: challenge.nonce, dialer, listener: partyOf(listener) };
  preamble.write({ answer: { proofs: secrets.map((secret) => proofBy(secret, 'dialer', transcript)) } });
  const { acceptance, refusal: refused } = await preamble.read();
  if (refused) throw refusedWith(refused.code);
  if (!acceptance) throw new ProofFailure('malformed');
  const proofs = secrets.map((secret) => proofBy(secret, 'listener', transcript));
  if (!proofs.some((proof) => isProof(acceptance.proof, proof))) throw new ProofFailure('unknown_secret');
  return transcript.listener;
}

/** The listener's side, whose dialer's opening is still to be read. Resolves with who the dialer proved to be, and by which secret. */
export async function proveAsListener(
  preamble: Preamble,
  me: Party,
  secrets: Secrets,
): Promise<{ readonly dialer: Party; readonly secret: Buffer }> {
  try {
    const { opening } = await preamble.read();
    if (!opening || opening.nonce.length !== NONCE_BYTES || !isParty(opening.dialer)) {
      throw new ProofFailure('malformed');
    }
    if (isSame(opening.dialer, me)) throw new ProofFailure('malformed');
    if (secrets.length === 0) throw new ProofFailure('no_secret');
    const transcript = {
      dialerNonce: opening.nonce,
      listenerNonce: randomBytes(NONCE_BYTES),
      dialer: partyOf(opening.dialer),
      listener: partyOf(me),
    };
    preamble.write({ challenge: { nonce: transcript.listenerNonce, listener: transcript.listener } });
    const offered = (await preamble.read()).answer?.proofs ?? [];
    if (offered.length === 0 || offered.length > SECRETS_MAX) throw new ProofFailure('malformed');
    const secret = secrets.find((candidate) => {
      const expected = proofBy(candidate, 'dialer', transcript);
      return offered.some((proof) => isProof(proof, expected));
    });
    if (secret === undefined) throw new ProofFailure('unknown_secret');
    preamble.write({ acceptance: { proof: proofBy(secret, 'listener', transcript) } });
    return { dialer: transcript.dialer, secret };
  } catch (error) {
    if (error instanceof ProofFailure && error.kind !== 'broken') {
      preamble.write({ refusal: { code: error.kind } });
    }
    throw error;
  }
}

function isSame(one: Party, other: Party): boolean {
  return one.id === other.id && one.incarnation === other.incarnation;
}

function partyOf({ cluster, id, incarnation }: Party): Party {
  return { cluster, id, incarnation };
}

/** What the listener holds against this side. Only codes that are known mean anything; nothing else of it is shown. */
function refusedWith(code: string): ProofFailure {
  return new ProofFailure(code === 'no_secret' || code === 'unknown_secret' ? code : 'malformed');
}
