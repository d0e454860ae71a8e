import type { FastifyInstance } from 'fastify';
import { SPOKEN_VERSIONS } from './cluster-version.js';
import type { ServerConfig } from './config.js';
import { descriptorBudget } from './descriptors.js';
import { RaftkvError } from './errors.js';
import { type AppDependencies, abandonApp, buildApp } from './http/app.js';
import type { ProcessCounts } from './http/metrics.js';
import { ownNames } from './http/own-names.js';
import type { LogSink } from './log-sink.js';
import type { Logger } from './logger.js';
import { STATE_PREFIX } from './node/bootstrap.js';
import { LatePort } from './node/late-port.js';
import { READ_SHARE_MS } from './node/limits.js';
import { diskBytesOf } from './storage/disk-bytes.js';
import { TurnShare } from './turn-share.js';
import { version } from './version.js';

/** How long a stop waits for what was accepted, and then for a successor. */
export const STOP_PATIENCE_MS = 5000;
/** How long a stop then waits for the last answers to leave. All together must stay below the 10 s of `docker stop`. */
export const GOODBYE_MS = 1000;

/** What serves clients, without a socket yet. */
export function clientApp(
  config: ServerConfig,
  logger: Logger,
  sink: LogSink,
  parts: Pick<AppDependencies, 'port' | 'damaged' | 'readShare' | 'connectionsMax' | 'refusal'> &
    Pick<ProcessCounts, 'peerRefusals' | 'storage'>,
): FastifyInstance {
  const { clientRouting, valueBytesMax, corsOrigins, dataDirectory } = config;
  const { peerRefusals, storage, ...rest } = parts;
  return buildApp({
    ...rest,
    clientRouting,
    valueBytesMax,
    allowedHosts: [...ownNames(), ...config.allowedHosts],
    corsOrigins,
    logger,
    counts: {
      logLinesDropped: () => sink.dropped,
      diskBytes: () => diskBytesOf(dataDirectory, STATE_PREFIX),
      peerRefusals,
      storage,
    },
    closeGraceMs: STOP_PATIENCE_MS + GOODBYE_MS,
  });
}

export async function listenForClients(app: FastifyInstance, config: ServerConfig): Promise<void> {
  const { host, port } = config.http;
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw new RaftkvError('address_in_use', explainListenError(error, host, port));
  }
}

/**
 * Says that this node waits for room, and listens for clients meanwhile: it is alive, its metrics can be read, and everything else is
 * refused with the reason. Resolves with what ends that.
 */
export async function answerWhileWaiting(
  config: ServerConfig,
  logger: Logger,
  sink: LogSink,
): Promise<() => Promise<void>> {
  const { id, advertisePeer: peerAddress, advertiseHttp: clientUrl, dataDirectory } = config;
  logger.warn({}, `This node waits for room on the disk that holds ${dataDirectory}. Make room.`);
  const reason = 'waiting for room on its disk';
  const identity = { cluster: '', id, incarnation: '', peerAddress, clientUrl, versions: SPOKEN_VERSIONS };
  const app = clientApp(config, logger, sink, {
    port: new LatePort(
      () => identity,
      () => reason,
      () => [],
      version,
      'follower',
    ),
    peerRefusals: () => new Map(),
    storage: () => ({ checkedBytes: 0, isDamaged: false, repairs: 0 }),
    readShare: new TurnShare(READ_SHARE_MS),
    connectionsMax: descriptorBudget().clientConnections,
    refusal: new RaftkvError(
      'not_ready',
      `This node is not ready: ${reason}. Nothing was changed; send clients to another one.`,
      { reason },
    ),
  });
  try {
    await listenForClients(app, config);
  } catch (error) {
    // The next start fails for the same reason, unless it has passed by then.
    logger.warn({ err: error }, 'This node cannot listen for clients while it waits.');
  }
  return () => abandonApp(app);
}

function explainListenError(error: unknown, host: string, port: number): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') {
    return `${host}:${port} is in use by another process. Stop it, or choose another address with --http.`;
  }
  return `Cannot listen for clients at ${host}:${port} (${code ?? String(error)}). Choose another address with --http.`;
}
