/** Bytes that are no request, or one that a strict reader refuses. */
import { present } from '../../../src/assert.js';
import type { Prng } from '../../../src/sim/prng.js';
import { randomBytes } from '../mutations.js';

const HOST = 'Host: 127.0.0.1';

const SAMPLES: readonly string[] = [
  '\r\n\r\n\r\n',
  'GET\r\n\r\n',
  'GET /v1/status\r\n',
  `GET /v1/status HTTP/0.9\r\n${HOST}\r\n\r\n`,
  `GET /v1/status HTTP/9.9\r\n${HOST}\r\n\r\n`,
  'GET /v1/status HTTP/1.1\r\n\r\n',
  'GET /v1/status HTTP/1.0\r\n\r\n',
  `GET /v1/status HTTP/1.1\r\n${HOST}\r\n${HOST}\r\n\r\n`,
  `GET /v1/status HTTP/1.1\n${HOST}\n\n`,
  `GET /v1/status HTTP/1.1\r\n${HOST}\r\n folded: yes\r\n\r\n`,
  `GET /v1/status HTTP/1.1\r\n${HOST}\r\nA B: c\r\n\r\n`,
  `GET /v1/status HTTP/1.1\r\n${HOST}\r\nX: \0\r\n\r\n`,
  `GET /v1/kv/\xff\xfe HTTP/1.1\r\n${HOST}\r\n\r\n`,
  `GET /v1/kv/a b c HTTP/1.1\r\n${HOST}\r\n\r\n`,
  `PUT /v1/kv/hostile/a HTTP/1.1\r\n${HOST}\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc`,
  `PUT /v1/kv/hostile/a HTTP/1.1\r\n${HOST}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  `PUT /v1/kv/hostile/a HTTP/1.1\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc`,
  `PUT /v1/kv/hostile/a HTTP/1.1\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc`,
  `PUT /v1/kv/hostile/a HTTP/1.1\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}\r\na\r\n`,
  `PUT /v1/kv/hostile/a HTTP/1.1\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${'T: x\r\n'.repeat(3_000)}`,
  `PUT /v1/kv/hostile/a HTTP/1.1\r\n${HOST}\r\nContent-Length: 1\r\n\r\naGARBAGE\r\n\r\n`,
  `CONNECT 127.0.0.1 HTTP/1.1\r\n${HOST}\r\n\r\n`,
  `GET /v1/watch?prefix= HTTP/1.1\r\n${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n\r\n`,
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
  '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03',
  'PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n',
  'SSH-2.0-hostile\r\n',
  '{"json":true}\n',
];

const RANDOM_BYTES_MAX = 400;

export function malformed(random: Prng): Buffer {
  if (random.chance(0.2)) return randomBytes(random, random.integer(1, RANDOM_BYTES_MAX));
  return Buffer.from(present(random.pick(SAMPLES), 'There are samples.'), 'latin1');
}

/** Requests that are too large in one way each. */
export function huge(random: Prng): Buffer {
  const get = (target: string, headers = '') =>
    Buffer.from(`GET ${target} HTTP/1.1\r\n${HOST}\r\n${headers}\r\n`, 'latin1');
  const post = (target: string, body: string) =>
    Buffer.from(
      `POST ${target} HTTP/1.1\r\n${HOST}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      'latin1',
    );
  switch (random.integer(0, 9)) {
    case 0:
      return get('/v1/status', `X: ${'x'.repeat(100_000)}\r\n`);
    case 1:
      return get('/v1/status', 'X: y\r\n'.repeat(9_000));
    case 2:
      return get(`/v1/kv?prefix=${'%ff'.repeat(20_000)}`);
    case 3:
      return get(`/v1/kv/${'k'.repeat(60_000)}`);
    case 4:
      return get(`/v1/status?${'a&'.repeat(30_000)}`);
    case 5:
      return Buffer.from(
        `PUT /v1/kv/hostile/huge HTTP/1.1\r\n${HOST}\r\nContent-Length: 99999999999\r\n\r\n${'x'.repeat(100_000)}`,
      );
    case 6:
      // In chunks, so that nothing announces how much it will be: more than the largest value.
      return Buffer.from(
        `PUT /v1/kv/hostile/huge HTTP/1.1\r\n${HOST}\r\nTransfer-Encoding: chunked\r\n\r\n${`10000\r\n${'x'.repeat(65_536)}\r\n`.repeat(17)}`,
      );
    case 7:
      return post('/v1/txn', '['.repeat(60_000));
    case 8:
      return post('/v1/txn', `{"compare":[],"success":[${'{"get":{"key":"a"}},'.repeat(3_000)}{}]}`);
    default:
      return post('/v1/members', `{"members":[${'{"id":"h1"},'.repeat(5_000)}{}]}`);
  }
}
