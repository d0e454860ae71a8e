/** The client library, `raftkv/client`: for Node 20 and browsers, on the platform's own fetch. */
export { type EndpointStatus, type ForceOptions, RaftkvClient, type RaftkvClientOptions } from './client.js';
export type * from './cluster-types.js';
export { Entry } from './entry.js';
export { type EndpointFailure, NotReachableError, RaftkvClientError } from './errors.js';
export type { Fetch, FetchBody, FetchHeaders, FetchInit, FetchReader, FetchResponse } from './fetch.js';
export { Item, type ItemJson } from './item.js';
export type { KeptLease } from './kept-lease.js';
export type { LeaseListOptions, LeaseOptions } from './leases.js';
export type { ListAndWatchEvent, ListAndWatchOptions, ListEvent } from './list-and-watch.js';
export type { CampaignOptions, LockGuard, LockOptions } from './locks.js';
export type {
  AddOptions,
  CallOptions,
  CompactOptions,
  ConditionOptions,
  Consistency,
  DeleteOptions,
  DeletePrefixOptions,
  ListOptions,
  PutOptions,
  ReadOptions,
} from './options.js';
export type * from './results.js';
export type * from './txn.js';
export type { DeleteEvent, PutEvent, ReadyEvent, WatchEvent, WatchEventBase, WatchOptions } from './watch.js';
export type { Bytes } from './wire.js';
