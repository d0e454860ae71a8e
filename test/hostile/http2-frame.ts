/** A frame of HTTP/2 (RFC 9113, section 4.1). */
export function http2Frame(kind: number, stream: number, payload: Uint8Array, flags = 0): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(kind, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}
