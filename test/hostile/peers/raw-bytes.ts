/** Bytes that are not the peer protocol, or only begin like it, on plain TCP connections. */
import { connect } from 'node:net';
import type { Prng } from '../../../src/sim/prng.js';
import { randomBytes } from '../mutations.js';

const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const CONNECTION_MS_MAX = 1000;

/** Opens a connection, writes one hostile opening, and resolves when the node ended it or after a second. */
export function sendRawBytes(host: string, port: number, random: Prng): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const timer = setTimeout(() => socket.destroy(), CONNECTION_MS_MAX);
    socket.on('connect', () => {
      for (const piece of opening(random)) socket.write(piece);
      if (random.chance(0.3)) socket.end();
    });
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function opening(random: Prng): readonly Buffer[] {
  switch (random.integer(0, 5)) {
    case 0:
      return [randomBytes(random, random.integer(1, 2000))];
    case 1:
      return [HTTP2_PREFACE, randomBytes(random, random.integer(1, 500))];
    case 2:
      return [HTTP2_PREFACE, ...Array.from({ length: random.integer(1, 50) }, () => frame(random))];
    case 3:
      return [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')];
    case 4:
      return [HTTP2_PREFACE.subarray(0, random.integer(1, HTTP2_PREFACE.length))];
    default:
      return [Buffer.from('raftkv'), randomBytes(random, random.integer(0, 200))];
  }
}

/** An HTTP/2 frame with a valid header and random content (RFC 9113 §4.1). */
function frame(random: Prng): Buffer {
  const payload = randomBytes(random, random.integer(0, 64));
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(random.integer(0, 10), 3);
  header.writeUInt8(random.integer(0, 255), 4);
  header.writeUInt32BE(random.integer(0, 9), 5);
  return Buffer.concat([header, payload]);
}
