import { encodeCommand, neededVersion, needsRoom, stampCommand, walkingCommand } from './command-codec.js';
import { decodeResult, encodeResult } from './result-codec.js';

/** The bytes of commands and of what they gave: what the shell hands to the log and to other nodes. */
export const commandCodec = {
  encode: encodeCommand,
  stamp: stampCommand,
  neededVersion,
  needsRoom,
  walkingCommand,
  encodeResult,
  decodeResult,
};
