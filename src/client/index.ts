/** `raftkv/client`: a cluster from TypeScript and JavaScript, with nothing but the platform's fetch. */
export type { Bytes } from './bytes.js';
export type {
  HeldLock,
  Lease,
  LeaseState,
  ListOptions,
  Lock,
  LockOptions,
  LockState,
  Page,
  PutOptions,
  PutResult,
  RaftkvClientOptions,
  ReadOptions,
} from './client.js';
export { RaftkvClient } from './client.js';
export { NotReachableError, RaftkvClientError } from './errors.js';
export type { Item } from './item.js';
export type { Compare, Operation, OperationResult, Transaction, TransactionResult } from './txn.js';
export type { WatchEvent, WatchOptions } from './watch.js';
