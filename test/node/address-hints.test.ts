import { beforeEach, expect, it } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import { RaftkvError } from '../../src/errors.js';
import { AddressHints } from '../../src/node/address-hints.js';
import { HINT_REVIEW_MS } from '../../src/node/limits.js';
import type { Hello, Identity, PeerConnection } from '../../src/transport/contract.js';
import { FakeClock } from './fake-clock.js';
import { FakeLogger } from './fakes.js';

const identityOf = (id: string, peerAddress: string): Identity => ({
  cluster: 'c',
  id,
  incarnation: `${id}-1`,
  peerAddress,
  clientUrl: '',
  versions: SPOKEN_VERSIONS,
});

const hello: Hello = { identity: identityOf('n1', 'n1:7000'), initialCluster: '' };

let clock: FakeClock;
let logger: FakeLogger;
/** Who answers at which address; an error is what the handshake ends with. */
let answering: Map<string, Identity | RaftkvError>;
let connection: PeerConnection;
let asked: string[];
let hints: AddressHints;

beforeEach(() => {
  clock = new FakeClock();
  logger = new FakeLogger();
  answering = new Map();
  asked = [];
  connection = { id: 'n2', address: 'old:7000', state: 'connecting', reason: '', clientUrl: '' };
  hints = new AddressHints(
    [
      { id: 'n1', peerAddress: 'n1:7000' },
      { id: 'n2', peerAddress: 'new:7000' },
      { id: 'n9', peerAddress: 'nowhere:7000' },
    ],
    {
      connections: () => [connection],
      // As the transport: it goes on with the member where it answers.
      handshake: async (address) => {
        asked.push(address);
        const answer = answering.get(address) ?? new RaftkvError('unavailable', 'Nobody answers.');
        if (answer instanceof RaftkvError) throw answer;
        if (answer.id === 'n2' && answer.incarnation === 'n2-1') {
          connection = { ...connection, address: answer.peerAddress };
        }
        return { identity: answer, initialCluster: '' };
      },
    },
    clock,
    () => hello,
    logger,
  );
  hints.start();
});

const look = () => clock.pass(HINT_REVIEW_MS);

it('asks for a member at its hint until it is found there, and says so once', async () => {
  await look();
  await look();
  expect(asked).toEqual(['new:7000', 'new:7000']);
  expect(logger.lines).toEqual([]);
  answering.set('new:7000', identityOf('n2', 'new:7000'));
  await look();
  expect(logger.lines).toEqual([
    'n2 does not answer at old:7000. It answers at new:7000, where --initial-cluster has it.',
  ]);
  await look();
  expect(asked).toHaveLength(3);
});

it('asks for nobody who is connected, at its hint already, or no member', async () => {
  connection = { ...connection, state: 'connected' };
  await look();
  connection = { ...connection, state: 'refused', address: 'new:7000' };
  await look();
  expect(asked).toEqual([]);
});

it('says once who else answers at a hint, and goes on asking', async () => {
  answering.set('new:7000', { ...identityOf('n2', 'new:7000'), incarnation: 'n2-2' });
  await look();
  await look();
  answering.set('new:7000', new RaftkvError('identity_conflict', 'n2 belongs to another cluster.'));
  await look();
  await look();
  expect(logger.lines).toEqual([
    '--initial-cluster has n2 at new:7000, where n2 of cluster c answers as incarnation n2-2. That is not the member, ' +
      'so this node goes on with old:7000.',
    'n2 cannot be reached at new:7000, where --initial-cluster has it: n2 belongs to another cluster.',
  ]);
  expect(asked).toHaveLength(4);
});

it('asks no more once it is stopped', async () => {
  hints.stop();
  await look();
  await look();
  expect(asked).toEqual([]);
});
