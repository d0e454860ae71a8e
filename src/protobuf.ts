import type protobuf from 'protobufjs';

const noBytes = Buffer.alloc(0);

/**
 * Makes every message below `root` read an absent field of bytes as an empty `Buffer`. protobufjs reads it as an empty
 * array, which looks the same in a comparison of lengths, and which zlib, crypto and Buffer refuse with an exception.
 */
export function readAbsentBytesAsBytes(root: protobuf.Root): void {
  root.resolveAll();
  const namespaces: protobuf.NamespaceBase[] = [root];
  for (const namespace of namespaces) {
    for (const nested of namespace.nestedArray)
      if ('nestedArray' in nested) namespaces.push(nested as protobuf.NamespaceBase);
    if (!('fieldsArray' in namespace)) continue;
    const { ctor, fieldsArray } = namespace as protobuf.Type;
    for (const { name, type, repeated } of fieldsArray) {
      if (type === 'bytes' && !repeated) (ctor.prototype as Record<string, unknown>)[name] = noBytes;
    }
  }
}
