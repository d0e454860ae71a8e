import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Party, proveAsDialer, proveAsListener, type Secrets } from '../../src/transport/proof.js';
import {
  frameBytes,
  PROOF_FRAME_BYTES_MAX,
  Preamble,
  type ProofFailure,
} from '../../src/transport/proof-frames.js';

const OLD = Buffer.from('old-0123456789abcdef0123456789abcdef');
const NEW = Buffer.from('new-0123456789abcdef0123456789abcdef');
const OTHER = Buffer.from('other-0123456789abcdef0123456789abcd');
const a: Party = { cluster: 'c', id: 'a', incarnation: 'a-1' };
const b: Party = { cluster: 'c', id: 'b', incarnation: 'b-1' };
const anyone = { id: '', incarnation: '' };
const TIMEOUT_MS = 5_000;

let server: Server;
const sockets: Socket[] = [];
beforeEach(async () => {
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

/** The two ends of a new connection. */
async function connection(): Promise<readonly [dialer: Socket, listener: Socket]> {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server listens.');
  const dialer = connect(address.port, '127.0.0.1');
  const [listener]: Socket[] = await once(server, 'connection');
  if (listener === undefined) throw new Error('There is a connection.');
  for (const socket of [dialer, listener]) sockets.push(socket.on('error', () => {}));
  return [dialer, listener];
}

/** How a side's exchange went: whom it proved to reach, or what kind of failure it was. */
function outcome(side: Promise<Party | { readonly dialer: Party }>): Promise<string> {
  return side.then(
    (result) => ('dialer' in result ? result.dialer.id : result.id),
    (error: ProofFailure) => error.kind,
  );
}

async function exchange(dialerSecrets: Secrets, listenerSecrets: Secrets, target = anyone) {
  const [dialer, listener] = await connection();
  const dialing = new Preamble(dialer, TIMEOUT_MS);
  const listening = new Preamble(listener, TIMEOUT_MS);
  const ended = await Promise.all([
    outcome(proveAsDialer(dialing, a, target, dialerSecrets)).finally(() => dialer.end()),
    outcome(proveAsListener(listening, b, listenerSecrets)).finally(() => listener.end()),
  ]);
  dialing.release();
  listening.release();
  return ended;
}

/** The next `count` bytes of a stream, once they have come. */
function bytesFrom(socket: Socket, count: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const bytes: Buffer | null = socket.read(count);
      if (bytes === null) return;
      socket.off('readable', look).off('close', fail);
      resolve(bytes);
    };
    const fail = () => reject(new Error('The stream ended.'));
    socket.on('readable', look).on('close', fail);
    look();
  });
}

/** The next frame from the other side, as bytes. */
async function frameFrom(socket: Socket): Promise<Buffer> {
  const header = await bytesFrom(socket, 7);
  return Buffer.concat([header, await bytesFrom(socket, header.readUInt16BE(5))]);
}

describe('two nodes prove to each other that they know the secret', () => {
  test.each([
    ['one and the same', [OLD], [OLD]],
    ['a rotation that began at the dialer', [NEW, OLD], [OLD]],
    ['a rotation that began at the listener', [OLD], [NEW, OLD]],
    ['a rotation in full', [NEW, OLD], [NEW, OLD]],
    ['an order that differs', [OLD, NEW], [NEW, OLD]],
    ['a rotation that ended at the dialer', [NEW], [NEW, OLD]],
    ['a rotation that ended at the listener', [NEW, OLD], [NEW]],
  ])('with %s', async (_, dialer, listener) => {
    expect(await exchange(dialer, listener)).toEqual(['b', 'a']);
  });

  test.each([
    ['different secrets', [OLD], [OTHER], 'unknown_secret', 'unknown_secret'],
    ['no secret in common', [NEW], [OLD], 'unknown_secret', 'unknown_secret'],
    ['no secret at the listener', [OLD], [], 'no_secret', 'no_secret'],
  ])('and fail with %s', async (_, dialer, listener, atDialer, atListener) => {
    expect(await exchange(dialer, listener)).toEqual([atDialer, atListener]);
  });

  test('and leave what follows to HTTP/2', async () => {
    const [dialer, listener] = await connection();
    const preambles = [dialer, listener].map((socket) => new Preamble(socket, TIMEOUT_MS));
    const [dialing, listening] = preambles;
    if (dialing === undefined || listening === undefined) throw new Error('There are two.');
    const proven = proveAsListener(listening, b, [OLD]);
    await proveAsDialer(dialing, a, anyone, [OLD]);
    dialer.write('PRI * HTTP/2.0');
    await proven;
    for (const preamble of preambles) preamble.release();
    expect(String(await bytesFrom(listener, 14))).toBe('PRI * HTTP/2.0');
  });

  test('unless another node answers than the one that was meant, which learns no proof', async () => {
    expect(await exchange([OLD], [OLD], { id: 'x', incarnation: '' })).toEqual(['wrong_peer', 'broken']);
    expect(await exchange([OLD], [OLD], { id: 'b', incarnation: 'b-0' })).toEqual(['wrong_peer', 'broken']);
    expect(await exchange([OLD], [OLD], { id: 'b', incarnation: 'b-1' })).toEqual(['b', 'a']);
  });
});

describe('an attacker without the secret', () => {
  /** A listener that is attacked, and the attacker's end. */
  async function attacked(): Promise<readonly [Socket, Promise<string>]> {
    const [attacker, listener] = await connection();
    const preamble = new Preamble(listener, TIMEOUT_MS);
    const ended = outcome(proveAsListener(preamble, b, [OLD])).finally(() => preamble.release());
    return [attacker, ended];
  }

  /** What a frame becomes on its way. */
  type Change = (frame: Buffer) => Buffer;

  /** An exchange of two sides that know the secret, by way of an attacker who passes everything on, changed or not. */
  async function passedOn(toListenerAs: Change = same, toDialerAs: Change = same) {
    const [dialer, toDialer] = await connection();
    const [toListener, listener] = await connection();
    const preambles = [new Preamble(dialer, TIMEOUT_MS), new Preamble(listener, TIMEOUT_MS)] as const;
    const both = [
      outcome(proveAsDialer(preambles[0], a, anyone, [OLD])),
      outcome(proveAsListener(preambles[1], b, [OLD])),
    ];
    const ofDialer: Buffer[] = [];
    const ofListener: Buffer[] = [];
    for (let round = 0; round < 2; round += 1) {
      const asked = toListenerAs(await frameFrom(toDialer));
      ofDialer.push(asked);
      toListener.write(asked);
      const answered = toDialerAs(await frameFrom(toListener));
      ofListener.push(answered);
      toDialer.write(answered);
    }
    const outcomes = await Promise.all(both);
    for (const preamble of preambles) preamble.release();
    return { ofDialer, ofListener, outcomes };
  }

  const same: Change = (frame) => frame;
  /** Replaces a name in a frame by another one of its length. */
  const renamed =
    (from: string, to: string): Change =>
    (frame) =>
      Buffer.from(frame.toString('latin1').replace(from, to), 'latin1');

  test('gains nothing by playing a recorded exchange again', async () => {
    const { ofDialer, outcomes } = await passedOn();
    expect(outcomes).toEqual(['b', 'a']);
    const [attacker, ended] = await attacked();
    for (const frame of ofDialer) {
      attacker.write(frame);
      await frameFrom(attacker);
    }
    expect(await ended).toBe('unknown_secret');
  });

  test('gains nothing by playing the side of a listener again to another dialer', async () => {
    const { ofListener } = await passedOn();
    const [dialer, attacker] = await connection();
    const preamble = new Preamble(dialer, TIMEOUT_MS);
    const dialed = outcome(proveAsDialer(preamble, a, anyone, [OLD]));
    for (const frame of ofListener) {
      await frameFrom(attacker);
      attacker.write(frame);
    }
    expect(await dialed).toBe('unknown_secret');
    preamble.release();
  });

  test.each([
    ['the dialer', renamed('a-1', 'a-2'), same],
    ['the listener', same, renamed('b-1', 'b-2')],
  ])('gains nothing by changing the name of %s on the way', async (_, toListenerAs, toDialerAs) => {
    expect((await passedOn(toListenerAs, toDialerAs)).outcomes).toEqual(['unknown_secret', 'unknown_secret']);
  });

  test('gains nothing by leading a node to itself', async () => {
    const [attacker, ended] = await attacked();
    const [dialer, toDialer] = await connection();
    const preamble = new Preamble(dialer, TIMEOUT_MS);
    const dialed = outcome(proveAsDialer(preamble, b, anyone, [OLD]));
    attacker.write(await frameFrom(toDialer));
    expect(await ended).toBe('malformed');
    toDialer.write(frameBytes({ challenge: { nonce: new Uint8Array(32), listener: b } }));
    expect(await dialed).toBe('wrong_peer');
    preamble.release();
  });

  test('gains nothing from a dialer without proving itself', async () => {
    const [dialer, attacker] = await connection();
    const preamble = new Preamble(dialer, TIMEOUT_MS);
    const dialed = outcome(proveAsDialer(preamble, a, anyone, [OLD]));
    await frameFrom(attacker);
    attacker.write(frameBytes({ challenge: { nonce: new Uint8Array(32), listener: b } }));
    const answer = await frameFrom(attacker);
    // The dialer's own proof, in the other role.
    attacker.write(frameBytes({ acceptance: { proof: answer.subarray(-32) } }));
    expect(await dialed).toBe('unknown_secret');
    preamble.release();
  });

  const opening = (fields: { nonce?: Uint8Array; dialer?: Party | null } = {}) =>
    frameBytes({ opening: { nonce: new Uint8Array(32), dialer: a, ...fields } });

  test.each([
    ['no frame', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'foreign'],
    ['an empty frame', frameBytes({}), 'malformed'],
    ['a frame of another version', Buffer.from([...opening().subarray(0, 4), 9, 0, 0]), 'malformed'],
    [
      'a frame that is too large',
      Buffer.from([...opening().subarray(0, 5), (PROOF_FRAME_BYTES_MAX + 1) >> 8, 1]),
      'malformed',
    ],
    ['bytes that are no message', Buffer.from([...opening().subarray(0, 5), 0, 2, 0xff, 0xff]), 'malformed'],
    ['a short nonce', opening({ nonce: new Uint8Array(31) }), 'malformed'],
    ['nobody', opening({ dialer: null }), 'malformed'],
    ['an id with a line feed', opening({ dialer: { ...a, id: 'a\nb' } }), 'malformed'],
    ['an empty incarnation', opening({ dialer: { ...a, incarnation: '' } }), 'malformed'],
    ['the name of the very node', opening({ dialer: b }), 'malformed'],
    ['an answer at once', frameBytes({ answer: { proofs: [new Uint8Array(32)] } }), 'malformed'],
  ])('that sends %s is refused', async (_, bytes, kind) => {
    const [attacker, ended] = await attacked();
    attacker.write(bytes);
    expect(await ended).toBe(kind);
  });

  test.each([
    ['no proof', []],
    ['three proofs', Array.from({ length: 3 }, () => new Uint8Array(32))],
  ])('that answers with %s is refused', async (_, proofs) => {
    const [attacker, ended] = await attacked();
    attacker.write(opening());
    await frameFrom(attacker);
    attacker.write(frameBytes({ answer: { proofs } }));
    expect(await ended).toBe('malformed');
  });

  test.each([[[new Uint8Array(31)]], [[new Uint8Array(32)]], [[new Uint8Array(33), new Uint8Array()]]])(
    'that guesses a proof is refused',
    async (proofs) => {
      const [attacker, ended] = await attacked();
      attacker.write(opening());
      await frameFrom(attacker);
      attacker.write(frameBytes({ answer: { proofs } }));
      expect(await ended).toBe('unknown_secret');
    },
  );

  test('that sends half a frame and falls silent is given up after a time', async () => {
    const [attacker, listener] = await connection();
    const preamble = new Preamble(listener, 50);
    const ended = outcome(proveAsListener(preamble, b, [OLD]));
    attacker.write(opening().subarray(0, 20));
    expect(await ended).toBe('broken');
    preamble.release();
  });

  test('that ends the connection in the middle is given up', async () => {
    const [attacker, ended] = await attacked();
    attacker.end(opening().subarray(0, 20));
    expect(await ended).toBe('broken');
  });
});
