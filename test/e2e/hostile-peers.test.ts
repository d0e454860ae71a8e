import { it } from 'vitest';
import { attack } from './attack.js';

/** Some of each kind; `npm run test:hostile-peers` sends 100,000. */
const MESSAGES = 2000;

it('forged messages to the peer port have no effect without the cluster secret, and end no process with it', async () => {
  await attack('peers', ['--messages', String(MESSAGES)]);
});
