/** The shell's bounds and periods, each with what happens at it. Durations are in milliseconds. */

/** One tick of the core. Short, so that election timeouts have many values and rarely tie (§9.3). */
export const TICK_MS = 10;
/**
 * A leader's lease. A follower's patience of 25 ticks lasts 229 ms at least, since the first tick may be part over and a timer
 * may be early; so clocks may differ in speed by a seventh.
 */
export const LEASE_MS = 200;
/** A follower waits between this and twice as long for its leader. Far above the time of a broadcast (§5.6). */
export const ELECTION_TIMEOUT_TICKS = 25;
/** Five heartbeats fit into the shortest election timeout, so that losing some costs nothing. */
export const HEARTBEAT_TICKS = 5;
/** As many ticks as a heartbeat period has, so that an idle node wakes about as often as it hears its leader. */
export const TICKS_AT_ONCE_MAX = HEARTBEAT_TICKS;
/** While anybody waits, deadlines are looked at this often. */
export const DEADLINE_TICKS = 2;
/** At every so many looks at deadlines, a request is also given up whose client has left. */
export const SWEEPS_PER_CLIENT_LOOK = 5;
/** A tick that is later than this is reported as a stall of this process. */
export const TICK_LATENESS_MS_MAX = 50;

/** How often a member compares the digest of its state with the others', at least; up to twice as long, at random. */
export const DIGEST_COMPARISON_MS = 10_000;
/** How soon it does so after the start, and again when it differs from a majority. */
export const DIGEST_CONFIRMATION_MS = 1_000;
/** How long the others get to apply the entry at which digests are compared. */
export const DIGEST_SETTLE_MS = 500;
/** How long a member gets to tell its digest. */
export const DIGEST_TIMEOUT_MS = 2_000;
/** Messages that no member sends are reported at most this often, those in between together. */
export const NONSENSE_REPORT_MS = 60_000;
/** A node without a leader tells of its campaigns after the first of these, and then after twice as long, up to the second. */
export const CAMPAIGN_REPORT_MS_MIN = 1_000;
export const CAMPAIGN_REPORT_MS_MAX = 60_000;
/** Stalls are reported at most this often, those in between together. */
export const STALL_REPORT_MS = 10_000;

/** Encoded entries in one append. A larger entry travels alone. */
export const APPEND_BYTES_MAX = 1024 * 1024;
/** Appends in flight per follower; past it, entries gather into the next append. */
export const APPENDS_IN_FLIGHT_MAX = 8;
/** Bytes in flight per follower; past it, entries gather into the next append. */
export const APPEND_BYTES_IN_FLIGHT_MAX = 8 * 1024 * 1024;
/** Proposals gather behind a batch that is not committed yet for this long; then the next batch follows it. */
export const BATCH_LEAD_MS = 10;
/** So many proposals, or bytes of them, wait for nothing: they are a batch worth its cost. */
export const BATCH_COUNT = 256;
export const BATCH_BYTES = 64 * 1024;
/** After a commit the next batch waits this long for the proposals that are expected, and expects at most so many. */
export const GATHER_MS = 4;
export const GATHER_COUNT = 64;
/** How long a read waits before it asks again, where no leader could be asked. A new leader is asked at once. */
export const READ_RETRY_MS = 20;
/** Bytes proposed and not committed; past it, proposals are refused as overloaded. */
export const UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024;
/** Proposals and reads that wait on this node; past it, more are refused as overloaded. */
export const WAITING_MAX = 20_000;

/**
 * The state is flushed this long after a change, so that one record and one sync serve many changes of a key. What is not
 * flushed when a node dies is applied again from the log, at a far higher rate than it came.
 */
export const FLUSH_DELAY_MS = 1_000;
/** The state is flushed at once when this much is buffered. */
export const FLUSH_BYTES = 4 * 1024 * 1024;
/** Applying pauses until a flush is done when this much is buffered. */
export const BUFFERED_BYTES_MAX = 32 * 1024 * 1024;
/** Applying yields to the event loop after this long. */
export const APPLY_SLICE_MS = 10;
/**
 * What commands that walk prefixes, sorting and pruning take of one turn of the event loop: writes wait for them, and so they
 * do not share with {@link READ_SHARE_MS}.
 */
export const APPLY_SHARE_MS = 5;
/** A write that passes over more keys of prefixes than this is in the log alone among its kind. */
export const LIGHT_WALK_KEYS_MAX = 512;
/** What a walk costs, however few keys it finds, in keys. */
export const WALK_COST_KEYS = 8;
/** How many keys the others that are in the log together pass over: some 40 ms for which other writes wait. */
export const LIGHT_WALKS_KEYS_MAX = 4096;
/** What may wait for its turn, in writes and in keys; further ones are refused as overloaded. */
export const HEAVY_WALKS_WAITING_MAX = 16;
export const LIGHT_WALKS_WAITING_KEYS_MAX = 65_536;
/** After a write that walks prefixes, others get nine times as long as it took, but no more than two seconds. */
export const WALK_PAUSE_FACTOR = 9;
export const WALK_PAUSE_MS_MAX = 2_000;
/** The leader gives up another node's write this much earlier, or a quarter of its time, so that the client hears that nothing was changed. */
export const FORWARDED_WALK_MARGIN_MS = 100;
/** A write that walks prefixes, and whose fate is not known, is waited for this long. */
export const WALK_SETTLE_MS = 10_000;
/** What the long reads and large answers of all clients together take of one turn of the event loop. */
export const READ_SHARE_MS = 3;

/**
 * The log may grow to this multiple of its bound for a follower that gets a snapshot. Past it, the follower has to begin
 * again. Below 2, at which proposals are refused: what gathers until the next flush still finds room.
 */
export const HELD_LOG_SHARE = 1.5;
/** A snapshot of which the follower takes nothing for so long is broken off. */
export const SNAPSHOT_STALL_MS = 15_000;
/** A node whose state is damaged asks for another one this often, and waits so long for an answer. */
export const REPAIR_RETRY_MS = 500;
export const REPAIR_ASK_MS = 2_000;
/** After a snapshot that it could not write it waits so long. */
export const REPAIR_FAILURE_PAUSE_MS = 10_000;
/** A state that is damaged again within this time is not repaired: the disk is not to be trusted. */
export const REPAIR_PERIOD_MS = 24 * 60 * 60 * 1000;
/** With each failure that patience doubles, up to so many times. */
export const SNAPSHOT_STALL_DOUBLINGS_MAX = 3;
/** When a snapshot fails again and again, the next begins after a pause that grows from the first to the second. */
export const SNAPSHOT_RETRY_MS_MIN = 100;
export const SNAPSHOT_RETRY_MS_MAX = 2_000;
/** The log is kept for a follower that has its snapshot until it was silent for this long. */
export const CATCH_UP_SILENCE_TICKS = 10 * ELECTION_TIMEOUT_TICKS;

/**
 * The hard floor: with less room than this on its disk, or a sixteenth of it, a node takes no more entries. LevelDB needs its
 * write buffer of 16 MiB twice to put away what it has.
 */
export const DISK_FULL_BYTES = 32 * 1024 * 1024;
/** What a node reserves on its disk, or an eighth of it. Other programs may take everything but this. */
export const DISK_RESERVE_BYTES = 64 * 1024 * 1024;
/** A node that starts reserves room after this long: a start has more urgent writes. */
export const DISK_RESERVE_DELAY_MS = 10_000;
/** Where the reserve could not be taken although the disk seemed to have room, as under a quota, a node tries again after this long. */
export const DISK_RESERVE_RETRY_MS = 60_000;
/** The soft floor is this and the bound of the log, or a quarter of the disk, above the reserve. */
export const DISK_LOW_BYTES = 64 * 1024 * 1024;
/** At the hard floor, a flush needs this much and twice what is buffered: LevelDB writes it to its log and then to a table. */
export const DISK_FLUSH_BYTES = 4 * 1024 * 1024;
/** A bound on the room that was reached is left again at this multiple of it. */
export const DISK_RECOVERY = 1.25;
/** How often a node looks at the room on its disk, and how often where little is left. */
export const DISK_WATCH_MS = 2_000;
export const DISK_WATCH_NEAR_MS = 200;
/** A leader whose disk has had little room for so long hands over to a voter that has more, at most this often. */
export const DISK_HANDOVER_MS = 5_000;

/**
 * A follower that has not heard its leader for so many ticks, three heartbeats, sends nobody to it: half of the elections that
 * follow a crash begin later than that.
 */
export const LEADER_DOUBT_TICKS = 3 * HEARTBEAT_TICKS;

/** A node that is this many entries behind its leader, and was further behind before, has caught up. */
export const CAUGHT_UP_ENTRIES_MAX = 250;
/** A node that had caught up is behind again when so many entries are missing. */
export const FALLEN_BEHIND_ENTRIES = 1_000;
/** A node that applies nothing for so long, although entries are missing, has fallen behind however few they are. */
export const STANDSTILL_MS = 5_000;

/** How often the leader compares the configuration's addresses with those at which its members are. */
export const ADDRESS_REVIEW_MS = 1_000;
/**
 * How often a node looks for members that it does not reach at the addresses of its command line, and how long each of those has
 * to answer. The first look comes about when a node without a leader begins to campaign.
 */
export const HINT_REVIEW_MS = 250;
export const HINT_TIMEOUT_MS = 1_000;
/** How often a leader looks whether all members speak a newer cluster version, and how often in a new cluster. */
export const VERSION_REVIEW_MS = 1_000;
export const NEW_CLUSTER_REVIEW_MS = 50;
/** A raise whose fate is not known by then is looked at anew. */
export const RAISE_TIMEOUT_MS = 5_000;
/** How long somebody who may become a member gets to say who it is. */
export const CONTACT_MS = 1000;
/** Learners that do not answer; no more are added meanwhile, since each costs connections that are tried again and again. */
export const SILENT_LEARNERS_MAX = 16;
/** How long a membership change waits before it tries again because another one is under way. */
export const CHANGE_RETRY_MS = 20;
/** How often a node that stops looks whether it may go on: until it hands over, nobody's writes are taken. */
export const STOP_POLL_MS = 1;
/** How long a leader whose disk is damaged tries to hand over. */
export const WITHDRAWAL_HANDOVER_MS = 5000;
/** How long a node that stops and was asked for its vote goes on, until it hears of the winner. */
export const SUCCESSOR_PATIENCE_MS = 500;

/** How often a leader looks for leases that have run out, and how often where there are none. */
export const LEASE_REVIEW_MS = 100;
export const IDLE_LEASE_REVIEW_MS = 500;
/** Expiries that are proposed and not applied yet; further ones wait for the next look. */
export const EXPIRIES_UNDER_WAY_MAX = 256;
/** An expiry whose fate is not known by then is looked at anew. */
export const EXPIRY_TIMEOUT_MS = 5_000;
/** While there are leases, log time is written down when no command has carried it for so long. */
export const CHECKPOINT_MS = 1_000;
/** How much longer than its holder's lease a place in line lives once the node that waits there is gone. */
export const LOCK_PLACE_MS = 10_000;
/** How often a place in line is kept alive by the node that waits there. */
export const LOCK_PLACE_RENEWED_MS = 3_000;
/** Requests that wait for a lock on this node; more are refused as overloaded. */
export const LOCK_WAITERS_MAX = 1_000;
/** Waiters for one lock, its holder included; more are refused as overloaded. */
export const LOCK_QUEUE_MAX = 1_000;
