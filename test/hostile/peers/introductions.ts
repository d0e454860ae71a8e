/** What a caller says about itself with each request: the truth of some member, or something hostile. */
import type { Prng } from '../../../src/sim/prng.js';
import { wire } from '../../../src/transport/wire.js';
import { mutate, mutateBytes } from '../mutations.js';

/** The member that a forger claims to be. */
export interface Claim {
  readonly cluster: string;
  readonly id: string;
  readonly incarnation: string;
  readonly peerAddress: string;
  readonly clientUrl: string;
}

/** An encoded introduction for `recipient`; one of ten has hostile fields or bytes. */
export function introductionOf(claim: Claim, recipient: string, random: Prng): Buffer {
  const introduction = {
    protocolVersion: 1,
    sender: { ...claim, versions: { oldest: 1, newest: 2 } },
    recipient,
    recipientIncarnation: '',
  };
  const isHostile = random.chance(0.1);
  const bytes = wire.introduction.encode(isHostile ? mutate(introduction, random) : introduction);
  return random.chance(0.02) ? mutateBytes(bytes, random) : bytes;
}
