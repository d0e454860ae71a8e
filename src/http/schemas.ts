import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { clientUrlPattern, hostAndPortPattern, nodeIdPattern } from '../config.js';
import { RaftkvError } from '../errors.js';

const strict = { additionalProperties: false };

const memberIdWords = "a member's id: letters, digits, dots, hyphens and underscores, at most 63";

export const memberIdSchema = Type.String({ pattern: nodeIdPattern, description: memberIdWords });

export const addMemberSchema = Type.Object(
  {
    id: memberIdSchema,
    peer: Type.String({ pattern: hostAndPortPattern, description: 'HOST:PORT of its peer address' }),
    client: Type.Optional(
      Type.String({ pattern: `^$|${clientUrlPattern}`, description: 'its client URL, http://HOST:PORT' }),
    ),
    incarnation: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9_-]{0,64}$', description: 'the id of its data directory' }),
    ),
  },
  strict,
);
export type AddMemberBody = Static<typeof addMemberSchema>;

export const transferSchema = Type.Object({ to: Type.Optional(memberIdSchema) }, strict);
export type TransferBody = Static<typeof transferSchema>;

const memberId = Compile(memberIdSchema);
const addMember = Compile(addMemberSchema);
const transfer = Compile(transferSchema);

export function checkAddMember(body: unknown): AddMemberBody {
  if (addMember.Check(body)) return body;
  throw wrongBody('{"id":"n4","peer":"host:7101"}', addMember.Errors(body));
}

export function checkTransfer(body: unknown): TransferBody {
  if (transfer.Check(body)) return body;
  throw wrongBody('{"to":"n2"}, or nothing', transfer.Errors(body));
}

export function checkMemberId(id: string): string {
  if (memberId.Check(id)) return id;
  throw new RaftkvError('bad_request', `The path must name ${memberIdWords}.`);
}

function wrongBody(
  example: string,
  errors: readonly { readonly instancePath: string; readonly message: string }[],
): RaftkvError {
  const first = errors[0];
  const where = first === undefined || first.instancePath === '' ? 'the body' : `"${first.instancePath}"`;
  return new RaftkvError(
    'bad_request',
    `The body does not fit: ${where} ${first?.message ?? 'is wrong'}. Send JSON such as ${example}.`,
  );
}
