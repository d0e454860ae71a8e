/**
 * The bounds of the peer transport and what happens at each of them. Times are in milliseconds.
 */

const MEBIBYTE = 1024 * 1024;

/** One message at most. A larger one is refused by the receiving side and breaks its stream. */
export const MESSAGE_BYTES_MAX = 64 * MEBIBYTE;
/**
 * Bytes that wait on one stream for a peer that does not take them. The core's own limits on what is in flight are far
 * below; a stream that gets here is broken off, which sends the core back to probing.
 */
export const STREAM_BUFFER_BYTES_MAX = 128 * MEBIBYTE;
/** Messages that wait for one stream are joined up to this size; beyond, copying costs more than another write. */
export const COALESCED_BYTES_MAX = 128 * 1024;
/** A snapshot's chunks are cut to this size, so that little of one is in memory at a time. */
export const SNAPSHOT_CHUNK_BYTES_MAX = MEBIBYTE / 2;
/** Votes that a node is asked for at one time. At the bound the oldest call is answered with an error. */
export const PENDING_VOTES_MAX = 256;

/** How long a call for a vote waits. Longer than elections last; the core has forgotten the vote by then. */
export const VOTE_TIMEOUT_MS = 5_000;
/**
 * How long opening a stream may take, from name resolution to the peer's introduction. grpc-js sets no limit to a TCP
 * connection attempt, and behind a link that drops packets the system tries for minutes, at growing intervals; so a
 * connection that takes longer is replaced by a new one, and a healed link is found again within this time.
 */
export const OPEN_TIMEOUT_MS = 2_000;
/** The pause before a broken stream is opened again. */
export const REOPEN_DELAY_MS = 50;
/** The pause after the peer refused: only an operator, or time, mends that. */
export const REFUSED_DELAY_MS = 1_000;

/** The pauses of grpc-js between attempts to connect grow from the first to the second. */
export const RECONNECT_BACKOFF_MIN_MS = 50;
export const RECONNECT_BACKOFF_MAX_MS = 200;
/** Names are resolved again at most this often: containers change addresses. */
export const RESOLUTION_INTERVAL_MIN_MS = 500;
/** A silent connection is tested after the first, and given up when the test is not answered within the second. */
export const KEEPALIVE_INTERVAL_MS = 2_000;
export const KEEPALIVE_TIMEOUT_MS = 3_000;
