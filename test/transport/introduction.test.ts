import { expect, it } from 'vitest';
import { SPOKEN_VERSIONS } from '../../src/cluster-version.js';
import type { Identity } from '../../src/transport/contract.js';
import { introduce, isRefusal, verify } from '../../src/transport/introduction.js';

const identity = (id: string, cluster = 'cluster-1'): Identity => ({
  id,
  cluster,
  incarnation: `${id}-a`,
  peerAddress: `${id}:7100`,
  clientUrl: '',
  versions: SPOKEN_VERSIONS,
});
const n1 = identity('n1');

function answerTo(sender: Identity, recipient: Pick<Identity, 'id' | 'incarnation'> = n1, me = n1): string {
  const verified = verify(me, 1, introduce(sender, recipient));
  return isRefusal(verified) ? verified.details : verified.sender.id;
}

it('row 16: a caller is heard that is of this cluster and means this very node', () => {
  expect(answerTo(identity('n2'))).toBe('n2');
  expect(answerTo(identity('n2'), { id: 'n1', incarnation: '' })).toBe('n2');
});

it('row 16: a caller of another cluster is refused, and so is a caller that expects another node', () => {
  expect(answerTo(identity('n2', 'cluster-2'))).toBe(
    'n2 is in cluster cluster-2; the node at n1:7100 is n1 of cluster cluster-1.',
  );
  expect(answerTo(identity('n2', ''))).toContain('is n1 of cluster cluster-1');
  expect(answerTo(identity('n2'), identity('n3'))).toContain('is meant for n3');
  expect(answerTo(identity('n2'), { id: 'n1', incarnation: 'n1-b' })).toContain('incarnation n1-b of n1');
  expect(answerTo(identity('n2'), n1, identity('n1', ''))).toContain('does not know its cluster');
});
