import { RaftkvError } from '../errors.js';

const ADVICE =
  ' The state of this member is damaged: remove the member from the cluster, wipe its data directory and start ' +
  'it with --join. Nothing was changed.';

/** The state's store contradicts itself. `what` is a full sentence that names the record. */
export function stateDamaged(what: string): RaftkvError {
  return new RaftkvError('storage_damaged', `${what}${ADVICE}`);
}

/** What is damaged alone, for whoever gives the advice once. */
export function withoutAdvice(message: string): string {
  return message.replace(ADVICE, '');
}
