/**
 * Loaded into a node before the program (`node --import`): its connections to its peers lead to the tester's proxies. All
 * members know one address of each node, so the address alone cannot say who connects; the process that connects can.
 */
import { Socket } from 'node:net';

/** `PROXIES_VARIABLE` of `proxies.ts`, which is too much to load into a node. */
const { FAULTS_PROXIES: leads = '{}' } = process.env;
const ports = new Map(
  Object.entries(JSON.parse(leads) as Record<string, number>).map(
    ([port, proxy]) => [Number(port), proxy] as const,
  ),
);

const { connect } = Socket.prototype;

/** `net.connect` hands its parameters on as one array, whose first is the options. */
function leadToProxy(this: Socket, ...parameters: unknown[]): Socket {
  const [first] = parameters;
  const options: unknown = Array.isArray(first) ? first[0] : first;
  if (typeof options === 'object' && options !== null && 'port' in options) {
    options.port = ports.get(Number(options.port)) ?? options.port;
  }
  return Reflect.apply(connect, this, parameters) as Socket;
}

Socket.prototype.connect = leadToProxy;
