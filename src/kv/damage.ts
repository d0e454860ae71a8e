import { RaftkvError } from '../errors.js';

const ADVICE =
  ' The state of this member is damaged; its log says what it does about that. Nothing was changed; ask another member.';

/** The state contradicts itself. Unlike damage to the log, a snapshot of another member mends it. */
export class StateDamaged extends RaftkvError {
  constructor(detail: string) {
    super('storage_damaged', detail);
  }
}

/** `what` is a full sentence that names the record. */
export function stateDamaged(what: string): StateDamaged {
  return new StateDamaged(`${what}${ADVICE}`);
}

/** What is damaged alone, for whoever gives the advice once. */
export function withoutAdvice(message: string): string {
  return message.replace(ADVICE, '');
}
