/**
 * The bounds of the peer transport and what happens at each of them. Times are in milliseconds.
 */

const MEBIBYTE = 1024 * 1024;

/** The largest cluster for which the bounds in this file leave room. */
const MEMBERS_MAX = 9;

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
/** How long the sender of a snapshot may take for its header, which it has ready, and for each chunk, which it reads from its disk. */
export const SNAPSHOT_HEADER_TIMEOUT_MS = 10_000;
export const SNAPSHOT_CHUNK_TIMEOUT_MS = 60_000;
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

/** How long both sides give each other to prove who they are, before HTTP/2 begins; several round trips are far shorter. */
export const PROOF_TIMEOUT_MS = 2_000;
/**
 * A stranger is a connection whose other end has not been accepted as a member yet: it may still be proving itself, or,
 * where no proof is required, introduce itself in a call. At either bound the oldest stranger of the address with the most
 * strangers goes, because a member stays one for milliseconds only.
 */
export const STRANGERS_MAX = 256;
export const STRANGERS_PER_ADDRESS_MAX = 128;
/**
 * Connections of one address that are looked at: at once, and per second from then on. A member makes three, and tries
 * some twenty times a second while it is refused; nine members may share an address.
 */
export const ARRIVALS_BURST = 256;
export const ARRIVALS_PER_SECOND = 200;
/** How long a connection may stay a stranger. */
export const STRANGER_MS = 10_000;
/**
 * Connections of nodes of this cluster that are no members as far as this node knows. At the bound the oldest of the address with
 * the most of them goes.
 */
export const GUESTS_MAX = 64;
/** Streams that a connection may open, and frames of HTTP/2's own that it may send, before it belongs to a member. */
export const STRANGERS_CALLS_MAX = 64;
export const STRANGERS_CONTROL_FRAMES_MAX = 64;
/** Bytes of one call with a single request from anybody but a member; a handshake takes one or two thousand. */
export const STRANGERS_CALL_BYTES_MAX = 16 * 1024;
/**
 * Streams of guests that are open at a time. At the bound the connection with the most streams goes, at the address with the most. A
 * node that joins knows nobody until its snapshot has arrived: until then each member has a stream of appends and one of
 * heartbeats to it, and the leader has one more for the snapshot. Twice as many fit, because a member that connects anew may leave
 * its old streams behind until keepalive ends them.
 */
export const GUESTS_STREAMS_MAX = 2 * (2 * MEMBERS_MAX + 1);
/**
 * What all connections without a proof hold together in messages that have not arrived in full, in bytes of memory. The
 * largest append of a leader is a few mebibytes; at the bound the connection that holds most goes.
 */
export const UNFINISHED_BYTES_MAX = 128 * MEBIBYTE;
/** One message on a stream of heartbeats or of a snapshot; senders join and cut theirs to far less. */
export const SMALL_MESSAGE_BYTES_MAX = MEBIBYTE;
/** Streams and calls with nonsense that a connection without a proof may have had; the next one ends it. */
export const NONSENSE_MAX = 64;
/** How often connections without a proof are asked what they sent. */
export const WASTE_REVIEW_MS = 100;
/**
 * Bytes from a connection without a proof that are no content of a call: headers, frames of HTTP/2's own, and frames that
 * mean nothing. Each call accounts for some of them, and so does time, because connections are kept alive by pings.
 * nghttp2 bounds frames that it has to answer and streams that are reset, but takes any number of others.
 */
export const WASTED_BYTES_MAX = MEBIBYTE;
export const CALL_OVERHEAD_BYTES = 4 * 1024;
export const OVERHEAD_BYTES_PER_MS = 1;
/** Pings and settings that a connection without a proof may send for each second that it has been open; a peer sends one every two seconds. */
export const CONTROL_FRAMES_PER_SECOND = 8;
/** How often a node looks whether connections were proven by a secret that it no longer holds. */
export const SECRETS_REVIEW_MS = 5_000;
/** Streams on one connection, more than requests that may wait for a leader. */
export const STREAMS_MAX = 32_768;
/** Peers' refusals of one kind from one address are logged once in this time; the rest are counted. */
export const REFUSAL_LOG_INTERVAL_MS = 60_000;
