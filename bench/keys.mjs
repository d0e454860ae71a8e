/** What is put everywhere. */
export const VALUE = 'v'.repeat(256);

/** The keys that are put and read. */
export const KEYS = Array.from({ length: 1000 }, (_, number) => `key-${number}`);

/** The keys that are listed. */
export const LISTED_PREFIX = 'listing/';
export const listedKey = (number) => LISTED_PREFIX + String(number).padStart(8, '0');

/** The keys that are watched. */
export const WATCHED_PREFIX = 'fan-out/';

/** As many as both raftkv and etcd return when they are asked for them, and as they put in one transaction. */
export const PAGE_KEYS = 1000;
export const TRANSACTION_PUTS = 128;
