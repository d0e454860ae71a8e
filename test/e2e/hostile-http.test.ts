import { it } from 'vitest';
import { attack } from './attack.js';

/** Some of each kind; `npm run test:hostile-http` sends 100,000 and takes the steady client's time. */
const REQUESTS = 2500;

it('hostile clients end no process, and nothing is left of them or lost when they have gone', async () => {
  await attack('http', ['--requests', String(REQUESTS), '--survival-only']);
});
