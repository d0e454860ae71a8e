import { crc32c } from '@node-rs/crc32';

const MASK_DELTA = 0xa282ead8;

/** CRC-32C of these bytes, behind those whose checksum is `before`. */
export function checksumOf(bytes: Buffer, before = 0): number {
  return crc32c(bytes, before);
}

/** A checksum as LevelDB's files have it, so that checksums over checksums do not weaken each other. */
export function masked(checksum: number): number {
  return (((checksum >>> 15) | (checksum << 17)) + MASK_DELTA) >>> 0;
}

export function unmasked(stored: number): number {
  const rotated = (stored - MASK_DELTA) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}
