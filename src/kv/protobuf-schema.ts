import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';

/** proto/command.proto: what log entries carry and what applying them gave. */
const schema = protobuf.parse(readFileSync(new URL('../../proto/command.proto', import.meta.url), 'utf8'));

/** The type of a message in proto/command.proto. */
export function messageType(name: 'Command' | 'Result'): protobuf.Type {
  return schema.root.lookupType(`raftkv.command.${name}`);
}
