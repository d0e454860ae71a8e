import { Buffer } from 'node:buffer';
import { RaftkvError } from '../../src/errors.js';
import type {
  AddMemberRequest,
  AddMemberResult,
  MemberAddress,
  MemberStatus,
  MembershipChange,
  MembershipPlan,
  NodePort,
  NodeStatus,
  Readiness,
  Route,
  SetMembersResult,
} from '../../src/http/port.js';
import type { Command, CommandResult, Item, ListRequest, ListResult } from '../../src/kv/types.js';

/** What the fake node answers to every plan. */
export const examplePlan: MembershipPlan = {
  before: { voters: ['n1', 'n2', 'n3'], learners: [], quorum: 2, faultTolerance: 1 },
  after: { voters: ['n1', 'n2', 'n3', 'n4'], learners: [], quorum: 3, faultTolerance: 1 },
  liveVotersAfter: ['n1', 'n2', 'n3'],
  steps: [
    { step: 'addLearner', members: ['n4'], description: 'Gets the log: n4 at h4:7101.' },
    { step: 'promote', members: ['n4'], description: 'n4 becomes a voter by itself.' },
  ],
  warnings: ['4 voters is an even number.'],
};

/** A node in memory, with all revisions kept: what the HTTP layer and the command line are tested against. */
export class FakeNode implements NodePort {
  readonly id = 'n1';
  /** What the node says of itself; tests change it. */
  routed: Route = { kind: 'leader' };
  ready: Readiness = { ready: true, reason: '' };
  term = 7;
  compactedRevision = 0;
  /** Thrown by every method that can fail, when set. */
  failure: unknown;
  /** How many keys a deletion by prefix may delete. */
  deletedKeysMax = 10_000;
  /** Delays writes until it resolves. */
  writeGate: Promise<void> | undefined;
  /** What was asked of the node, in order. */
  readonly calls: string[] = [];
  memberList: MemberStatus[] = [
    {
      id: 'n1',
      peer: '127.0.0.1:7101',
      client: 'http://127.0.0.1:8101',
      role: 'voter',
      leader: true,
      health: 'healthy',
    },
  ];
  private revision = 0;
  private readonly history = new Map<string, (Item | { readonly deletedAt: number })[]>();
  private waiters: { readonly revision: number; readonly resolve: () => void }[] = [];

  route(): Route {
    return this.routed;
  }

  position(): { readonly revision: number; readonly term: number } {
    return { revision: this.revision, term: this.term };
  }

  status(): NodeStatus {
    return {
      cluster: 'c0ffee',
      id: this.id,
      incarnation: 'i1',
      role: this.routed.kind === 'leader' ? 'leader' : 'follower',
      term: this.term,
      leader: this.routed.kind === 'noLeader' ? null : 'n1',
      leaderUrl: null,
      commitIndex: 5,
      appliedIndex: 5,
      flushedIndex: 4,
      revision: this.revision,
      firstIndex: 1,
      lastIndex: 5,
      digest: '00000000',
      version: '0.1.0',
      uptimeSeconds: 1,
      reason: 'It was started for a test.',
      counters: { logWrites: 2, logBatches: 3, stalls: 1, longestStallMs: 60 },
    };
  }

  readiness(): Readiness {
    return this.ready;
  }

  async write(command: Command, timeoutMs: number): Promise<CommandResult> {
    this.calls.push(`write ${command.kind} ${timeoutMs}`);
    if (this.writeGate !== undefined) await this.writeGate;
    this.throwFailure();
    if (command.kind === 'deletePrefix') {
      const keys = this.keys(Buffer.from(command.prefix).toString('latin1'));
      if (keys.length > this.deletedKeysMax) return { kind: 'tooManyKeys', revision: this.revision };
      return this.removeAll(keys);
    }
    if (command.kind !== 'put' && command.kind !== 'delete') throw new Error(`No ${command.kind} here.`);
    const name = Buffer.from(command.key).toString('latin1');
    const current = this.at(name, this.revision);
    const modRevision = current?.modRevision ?? 0;
    if (
      (command.ifAbsent === true && current !== undefined) ||
      (command.ifRevision !== undefined && command.ifRevision !== modRevision)
    ) {
      return { kind: 'preconditionFailed', revision: this.revision, modRevision };
    }
    if (command.kind === 'delete') return this.removeAll(current === undefined ? [] : [name]);
    this.revision++;
    this.append(name, {
      key: command.key,
      value: command.value,
      contentType: command.contentType,
      createRevision: current?.createRevision ?? this.revision,
      modRevision: this.revision,
      version: (current?.version ?? 0) + 1,
    });
    return { kind: 'put', revision: this.revision, created: current === undefined };
  }

  holdsLease = false;

  readsByLease(): boolean {
    this.calls.push('readsByLease');
    return this.holdsLease;
  }

  async confirmRead(timeoutMs: number): Promise<void> {
    this.calls.push(`confirmRead ${timeoutMs}`);
    this.throwFailure();
  }

  async waitForRevision(revision: number, timeoutMs: number): Promise<void> {
    this.calls.push(`waitForRevision ${revision}`);
    this.throwFailure();
    if (this.revision >= revision) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new RaftkvError('unavailable', 'This node has not reached that revision.')),
        timeoutMs,
      );
      this.waiters.push({
        revision,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      });
    });
  }

  get(key: Uint8Array, revision: number | undefined): Item | undefined {
    this.throwFailure();
    this.checkRevision(revision);
    return this.at(Buffer.from(key).toString('latin1'), revision ?? this.revision);
  }

  async list(request: ListRequest): Promise<ListResult> {
    this.calls.push(`list ${request.limit}`);
    this.throwFailure();
    this.checkRevision(request.revision);
    const revision = request.revision ?? this.revision;
    const after = request.after === undefined ? '' : Buffer.from(request.after).toString('latin1');
    const prefix = Buffer.from(request.prefix).toString('latin1');
    const found: Item[] = [];
    for (const name of [...this.history.keys()].sort()) {
      if (!name.startsWith(prefix) || name <= after) continue;
      const item = this.at(name, revision);
      if (item !== undefined) found.push(request.keysOnly ? { ...item, value: new Uint8Array() } : item);
    }
    return { revision, items: found.slice(0, request.limit), more: found.length > request.limit };
  }

  async members(): Promise<readonly MemberStatus[]> {
    this.throwFailure();
    return this.memberList;
  }

  async addMember(request: AddMemberRequest, timeoutMs: number): Promise<AddMemberResult> {
    this.calls.push(`addMember ${JSON.stringify(request)} ${timeoutMs}`);
    this.throwFailure();
    const existing = this.memberList.find((member) => member.id === request.id);
    if (existing !== undefined) return { cluster: 'c0ffee', member: existing, added: false };
    const member: MemberStatus = {
      id: request.id,
      peer: request.peer,
      client: request.client,
      role: 'learner',
      leader: false,
      health: 'never started',
    };
    this.memberList.push(member);
    return { cluster: 'c0ffee', member, added: true };
  }

  async removeMember(id: string, force: boolean): Promise<void> {
    this.calls.push(`removeMember ${id} ${force}`);
    this.throwFailure();
    this.knownMember(id);
    this.memberList = this.memberList.filter((member) => member.id !== id);
  }

  async promoteMember(id: string): Promise<void> {
    this.calls.push(`promoteMember ${id}`);
    this.throwFailure();
    this.knownMember(id);
  }

  async setMembers(members: readonly MemberAddress[], force: boolean): Promise<SetMembersResult> {
    const named = members.map(({ id, peer }) => `${id}=${peer}`).join(',');
    this.calls.push(`setMembers ${named} ${force}`);
    this.throwFailure();
    const voters = members.map((member) => member.id);
    const before = this.memberList.map((member) => member.id);
    return {
      voters,
      added: voters.filter((id) => !before.includes(id)),
      removed: before.filter((id) => !voters.includes(id)),
    };
  }

  async planMembers(change: MembershipChange): Promise<MembershipPlan> {
    this.calls.push(`planMembers ${JSON.stringify(change)}`);
    this.throwFailure();
    return examplePlan;
  }

  async transferLeadership(to: string | undefined): Promise<string> {
    this.calls.push(`transferLeadership ${to ?? '-'}`);
    this.throwFailure();
    return to ?? 'n2';
  }

  private knownMember(id: string): void {
    if (this.memberList.some((member) => member.id === id)) return;
    throw new RaftkvError('member_not_found', `There is no member ${id}.`);
  }

  private throwFailure(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  private checkRevision(revision: number | undefined): void {
    if (revision === undefined) return;
    if (revision > this.revision) throw new RaftkvError('bad_request', 'That revision is in the future.');
    if (revision < this.compactedRevision) throw new RaftkvError('compacted', 'That revision is gone.');
  }

  private keys(prefix: string): string[] {
    return [...this.history.keys()].filter((name) => {
      return name.startsWith(prefix) && this.at(name, this.revision) !== undefined;
    });
  }

  private removeAll(names: readonly string[]): CommandResult {
    if (names.length > 0) this.revision++;
    for (const name of names) this.append(name, { deletedAt: this.revision });
    return { kind: 'delete', revision: this.revision, deleted: names.length };
  }

  private append(name: string, state: Item | { readonly deletedAt: number }): void {
    const states = this.history.get(name);
    if (states === undefined) this.history.set(name, [state]);
    else states.push(state);
    const reached = this.waiters.filter((waiter) => waiter.revision <= this.revision);
    this.waiters = this.waiters.filter((waiter) => waiter.revision > this.revision);
    for (const waiter of reached) waiter.resolve();
  }

  private at(name: string, revision: number): Item | undefined {
    for (const state of (this.history.get(name) ?? []).toReversed()) {
      if ('deletedAt' in state) {
        if (state.deletedAt <= revision) return undefined;
      } else if (state.modRevision <= revision) return state;
    }
    return undefined;
  }
}
