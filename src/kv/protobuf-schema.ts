import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';
import { readAbsentBytesAsBytes } from '../protobuf.js';

/** proto/command.proto: what log entries carry and what applying them gave. */
const schema = protobuf.parse(readFileSync(new URL('../../proto/command.proto', import.meta.url), 'utf8'));
readAbsentBytesAsBytes(schema.root);

/** The type of a message in proto/command.proto. */
export function messageType(name: 'Command' | 'Result'): protobuf.Type {
  return schema.root.lookupType(`raftkv.command.${name}`);
}
