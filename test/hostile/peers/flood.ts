/** Floods of strangers at a peer port: as many connections one after the other as the machine allows, each with as much as is taken. */
import { connect, type Socket } from 'node:net';
import type { Prng } from '../../../src/sim/prng.js';
import { frameBytes } from '../../../src/transport/proof-frames.js';
import { http2Frame } from '../http2-frame.js';
import { randomBytes } from '../mutations.js';

const MEBIBYTE = 1024 * 1024;
const HTTP2_OPENING = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  http2Frame(4, 0, Buffer.alloc(0)),
]);
/** A connection that the node neither ends nor reads is left after this time. */
const CONNECTION_MS_MAX = 1000;

/** Streams that are opened and reset at once (CVE-2023-44487). */
function rapidResets(): Buffer {
  // `:method: POST`, `:scheme: http` and `:path: /`, from the static table of HPACK.
  const headers = Buffer.of(0x83, 0x86, 0x84);
  const cancel = Buffer.of(0, 0, 0, 8);
  return Buffer.concat(
    Array.from({ length: 2000 }, (_, count) => [
      http2Frame(1, 2 * count + 1, headers, 4),
      http2Frame(3, 2 * count + 1, cancel),
    ]).flat(),
  );
}

/** A frame of the exchange of proofs that announces more bytes than follow. */
function halfProof(random: Prng): Buffer {
  const length = random.integer(1, 1024);
  return Buffer.concat([
    Buffer.from('RKVP'),
    Buffer.of(1, length >> 8, length & 0xff),
    randomBytes(random, random.integer(0, length - 1)),
  ]);
}

/** What a stranger sends that knows all but the secret: a sound opening and two proofs, which are wrong. */
function wrongProofs(cluster: string): Buffer {
  const dialer = { cluster, id: 'n9', incarnation: 'stranger' };
  const nonce = new Uint8Array(32);
  return Buffer.concat([
    frameBytes({ opening: { nonce, dialer } }),
    frameBytes({ answer: { proofs: [nonce, nonce] } }),
  ]);
}

function kindsOf(cluster: string) {
  const handshake = wrongProofs(cluster);
  const resets = Buffer.concat([HTTP2_OPENING, rapidResets()]);
  const unfinished = Buffer.concat([
    HTTP2_OPENING,
    http2Frame(0, 1, Buffer.alloc(16_384)),
    Buffer.alloc(4 * MEBIBYTE),
  ]);
  return {
    'rapid resets': () => resets,
    'garbage frames': (random: Prng) =>
      Buffer.concat([
        HTTP2_OPENING,
        ...Array.from({ length: 50 }, () =>
          http2Frame(random.integer(0, 10), random.integer(0, 9), randomBytes(random, random.integer(0, 64))),
        ),
      ]),
    'unfinished messages': () => unfinished,
    'unproven handshakes': () => handshake,
    'half a proof': (random: Prng) => halfProof(random),
    'random bytes': (random: Prng) => randomBytes(random, random.integer(1, 2000)),
    nothing: () => Buffer.alloc(0),
  };
}

/** How many connections of each kind were made. */
export type FloodCounts = Readonly<Record<string, number>>;

export class Flood {
  readonly #sockets = new Set<Socket>();
  readonly #workers: readonly Promise<void>[];
  readonly #counts = new Map<string, number>();
  #isOver = false;

  /**
   * @param ports Peer ports on loopback.
   * @param cluster The id of the cluster, which is no secret.
   * @param width Connections of each kind to each port at a time.
   */
  constructor(ports: readonly number[], cluster: string, width: number, random: Prng) {
    const kinds = Object.entries(kindsOf(cluster));
    this.#workers = ports.flatMap((port) =>
      kinds.flatMap(([kind, bytes]) =>
        Array.from({ length: width }, async () => {
          while (!this.#isOver) {
            await this.#send(port, bytes(random));
            this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
          }
        }),
      ),
    );
  }

  get connections(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Ends all of it. */
  async stop(): Promise<FloodCounts> {
    this.#isOver = true;
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#workers);
    return Object.fromEntries(this.#counts);
  }

  #send(port: number, bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port });
      this.#sockets.add(socket);
      socket.setTimeout(CONNECTION_MS_MAX, () => socket.destroy());
      socket.on('connect', () => socket.write(bytes));
      socket.on('error', () => {});
      socket.resume();
      socket.on('close', () => {
        this.#sockets.delete(socket);
        resolve();
      });
    });
  }
}
