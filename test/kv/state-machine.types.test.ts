import { describe, expectTypeOf, it } from 'vitest';
import type { KvStateMachine } from '../../src/kv/state-machine.js';
import type { CommandResult } from '../../src/kv/types.js';
import type { StateMachine } from '../../src/node/contracts.js';

describe('the contract between the shell and the state machine', () => {
  it('is kept by the key-value state machine, which may not import it', () => {
    expectTypeOf<KvStateMachine>().toExtend<StateMachine<CommandResult>>();
  });
});
