import type { FastifyInstance } from 'fastify';
import { percentDecode } from './bytes.js';
import { type Exchange, endpoint, type HttpContext } from './exchange.js';
import { refuseIdempotencyKey } from './idempotency.js';
import type { MemberStatus, MembershipChange } from './port.js';
import { Query, queryNames } from './query.js';
import { addMemberBody, checkMemberAddresses, checkMemberId, checkMembers, transferBody } from './schemas.js';

const plainNames = queryNames([]);
const changeNames = queryNames(['plan']);
const forcedNames = queryNames(['plan', 'force']);

const memberPath = /^\/v1\/members\/([^/]*)/;

export function registerClusterRoutes(app: FastifyInstance, context: HttpContext): void {
  app.get('/v1/status', endpoint(context, '/v1/status', status));
  app.get('/v1/members', endpoint(context, '/v1/members', members));
  app.post('/v1/members', endpoint(context, '/v1/members', addMember));
  app.put('/v1/members', endpoint(context, '/v1/members', setMembers));
  app.delete('/v1/members/:id', endpoint(context, '/v1/members/{id}', removeMember));
  app.post('/v1/members/:id/promote', endpoint(context, '/v1/members/{id}/promote', promoteMember));
  app.post('/v1/leader', endpoint(context, '/v1/leader', transferLeadership));
}

/** Always of the node that was asked: it is how one finds out what that node thinks. */
function status(exchange: Exchange): void {
  checkedQuery(exchange, plainNames);
  exchange.sendJson(200, JSON.stringify(exchange.context.port.status()));
}

function members(exchange: Exchange): void {
  const { timeoutMs } = checkedQuery(exchange, plainNames);
  exchange.settle(exchange.context.port.members(exchange.unheldMs(timeoutMs), exchange.signal), (list) => {
    exchange.sendJson(200, JSON.stringify({ members: list satisfies readonly MemberStatus[] }));
  });
}

function addMember(exchange: Exchange): void {
  const { isPlan, timeoutMs, redirectNever } = checkedChange(exchange, changeNames);
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withJson(timeoutMs, (json) => {
    const { id, peer, client = '', incarnation = '' } = addMemberBody.check(json);
    checkMemberAddresses(peer, client);
    if (isPlan) {
      plan(exchange, { kind: 'add', member: { id, peer } }, timeoutMs);
      return;
    }
    const request = { id, peer, client, incarnation };
    exchange.settle(
      exchange.context.port.addMember(request, exchange.remainingMs(timeoutMs), exchange.signal),
      (result) => {
        exchange.consistency = 'linearizable';
        exchange.sendJson(result.added ? 201 : 200, JSON.stringify(result));
      },
    );
  });
}

function setMembers(exchange: Exchange): void {
  const { query, isPlan, timeoutMs, redirectNever } = checkedChange(exchange, forcedNames);
  const force = query.flag('force');
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withJson(timeoutMs, (json) => {
    const members = checkMembers(json);
    if (isPlan) {
      plan(exchange, { kind: 'set', members }, timeoutMs);
      return;
    }
    const { port } = exchange.context;
    exchange.settle(
      port.setMembers(members, force, exchange.remainingMs(timeoutMs), exchange.signal),
      (result) => {
        exchange.consistency = 'linearizable';
        exchange.sendJson(200, JSON.stringify(result));
      },
    );
  });
}

function removeMember(exchange: Exchange): void {
  const id = memberIdOfPath(exchange);
  const { query, isPlan, timeoutMs, redirectNever } = checkedChange(exchange, forcedNames);
  const force = query.flag('force');
  if (!exchange.staysHere(redirectNever)) return;
  if (isPlan) {
    plan(exchange, { kind: 'remove', id }, timeoutMs);
    return;
  }
  exchange.withoutBody(timeoutMs, () => {
    exchange.settle(
      exchange.context.port.removeMember(id, force, exchange.unheldMs(timeoutMs), exchange.signal),
      () => {
        exchange.consistency = 'linearizable';
        exchange.sendJson(200, JSON.stringify({ removed: id }));
      },
    );
  });
}

function promoteMember(exchange: Exchange): void {
  const id = memberIdOfPath(exchange);
  const { isPlan, timeoutMs, redirectNever } = checkedChange(exchange, changeNames);
  if (!exchange.staysHere(redirectNever)) return;
  if (isPlan) {
    plan(exchange, { kind: 'promote', id }, timeoutMs);
    return;
  }
  exchange.withoutBody(timeoutMs, () => {
    exchange.settle(
      exchange.context.port.promoteMember(id, exchange.unheldMs(timeoutMs), exchange.signal),
      () => {
        exchange.consistency = 'linearizable';
        exchange.sendJson(200, JSON.stringify({ promoted: id }));
      },
    );
  });
}

/** Answers with what the change would do; nothing is changed. */
function plan(exchange: Exchange, change: MembershipChange, timeoutMs: number): void {
  exchange.settle(
    exchange.context.port.planMembers(change, exchange.remainingMs(timeoutMs), exchange.signal),
    (planned) => {
      exchange.sendJson(200, JSON.stringify(planned));
    },
  );
}

function transferLeadership(exchange: Exchange): void {
  refuseIdempotencyKey(exchange);
  const { timeoutMs, redirectNever } = checkedQuery(exchange, plainNames);
  if (!exchange.staysHere(redirectNever)) return;
  exchange.withJson(timeoutMs, (json) => {
    const { to } = transferBody.check(json);
    exchange.settle(
      exchange.context.port.transferLeadership(to, exchange.remainingMs(timeoutMs), exchange.signal),
      (leader) => {
        exchange.consistency = 'linearizable';
        exchange.sendJson(200, JSON.stringify({ leader }));
      },
    );
  });
}

interface CheckedQuery {
  readonly query: Query;
  readonly timeoutMs: number;
  readonly redirectNever: boolean;
}

function checkedQuery(exchange: Exchange, names: ReturnType<typeof queryNames>): CheckedQuery {
  const query = new Query(exchange.target.query, names);
  return { query, timeoutMs: query.timeoutMs(), redirectNever: query.redirectNever() };
}

interface CheckedChange extends CheckedQuery {
  /** The client only wants to see what would happen. */
  readonly isPlan: boolean;
}

function checkedChange(exchange: Exchange, names: ReturnType<typeof queryNames>): CheckedChange {
  refuseIdempotencyKey(exchange);
  const checked = checkedQuery(exchange, names);
  return { ...checked, isPlan: checked.query.flag('plan') };
}

function memberIdOfPath(exchange: Exchange): string {
  const encoded = memberPath.exec(exchange.target.path)?.[1] ?? '';
  return checkMemberId(percentDecode(encoded, 'member id').toString('utf8'));
}
