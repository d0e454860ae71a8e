import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';
import { compactBody } from '../../src/http/compact-routes.js';
import * as schemas from '../../src/http/schemas.js';
import { txnBody } from '../../src/http/txn-body.js';

const bodies = Object.entries({ ...schemas, compactBody, txnBody }).filter(([name]) => name.endsWith('Body'));

// A node takes these schemas as they are: to check them as well would hold up its event loop at the first request of a kind.
it.each(bodies)('%s is a valid JSON Schema', (_, body) => {
  const ajv = new Ajv2020({ allowUnionTypes: true });
  const { schema } = body as { schema: object };
  expect(ajv.validateSchema(schema), ajv.errorsText()).toBe(true);
});

it('all bodies are checked', () => {
  expect(bodies.map(([name]) => name)).toContain('txnBody');
  expect(bodies.length).toBeGreaterThanOrEqual(10);
});
