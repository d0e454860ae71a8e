import { mergedWalk, type Walked } from './merged-walk.js';
import type { Layers } from './reader.js';
import { attachmentKey, attachmentRange, keyOfAttachment } from './record-codec.js';
import type { LeaseId } from './types.js';
import { type BufferedAttachment, keyId } from './write-buffer.js';

const NO_KEY = new Uint8Array(0);

/** The keys that are attached to a lease, after one of them if given, in byte order and a bounded number at a time. */
export async function* walkAttached(
  layers: Layers,
  lease: LeaseId,
  after?: Uint8Array,
): AsyncGenerator<readonly Uint8Array[]> {
  const walked = mergedWalk(
    layers.buffers.map((buffer) => buffer.attachments),
    layers.disk.scan(attachmentRange(lease, after)),
    {
      prefix: keyId(attachmentKey(lease, NO_KEY)),
      after: after && keyId(attachmentKey(lease, after)),
      turn: layers.turn,
      step: layers.step,
      stepSize: layers.sizes.keys,
    },
    walkedAttachments,
  );
  for await (const found of walked) {
    yield found.filter(({ attached }) => attached).map(({ record }) => keyOfAttachment(record));
  }
}

/** One that was taken away in a buffer hides the one on disk, so it is found, too. */
const walkedAttachments: Walked<BufferedAttachment, BufferedAttachment> = {
  idOf: (pair) => keyId(pair.key),
  fromBuffer: (_, attachment) => attachment,
  fromDisk: (_, pair) => ({ record: pair.key, attached: true }),
};
