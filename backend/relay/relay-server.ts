/** A relay that runs by itself: no database, no sessions, nothing of the backend's but the public half of its ticket key. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import type { Log } from '../../shared/log.ts';
import { plainAddress } from '../../shared/net/addresses.ts';
import { relayParked } from '../../shared/rest-api/relay-parked.ts';
import { serveMetrics } from '../metrics/metrics-server.ts';
import { processMetrics } from '../metrics/process-metrics.ts';
import { relayFamilies } from '../metrics/relay-families.ts';
import { FrontDoor } from '../net/front-door.ts';
import { Heartbeat } from '../net/heartbeat.ts';
import { RateLimit } from '../net/rate-limit.ts';
import { REQUEST_TIMEOUT_MS, tlsServerOptions } from '../net/tls-server.ts';
import { Upgrades } from '../net/upgrades.ts';
import { initStateFolder } from '../state-folder.ts';
import { openCapture } from './capture.ts';
import { relayEntrances } from './entrances.ts';
import { Gate } from './gate.ts';
import { Relay } from './relay.ts';
import type { RelayConfig } from './relay-config.ts';
import { RelayMetrics } from './relay-metrics.ts';

export interface RelayServerDeps {
  log: Log;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export interface RunningRelay {
  port: number;
  /** SHA-256 of its SPKI, lower-case hex. */
  pin: string;
  metricsPort: number | undefined;
  close(): Promise<void>;
}

/** @throws VmcError 'bad-config' or 'bad-data' for a state folder that cannot be used, 'port-in-use'. */
export async function startRelay(config: RelayConfig, deps: RelayServerDeps): Promise<RunningRelay> {
  const { log, now = Date.now } = deps;
  const { keys } = await initStateFolder(config.stateDir, new Date(now()));
  const { pin } = keys;
  const capture = openCapture(config.relay, log);
  const heartbeat = new Heartbeat();
  const metrics = new RelayMetrics();
  const gate = new Gate({ ticketKey: config.ticketKey, pin, now });
  const relay = new Relay({
    gate,
    heartbeat,
    metrics,
    limits: config.relay,
    capture: capture && ((bytes) => capture.write(bytes)),
  });
  const frontDoor = new FrontDoor({ ...config.limits, ...config.relay });
  const refusals = new RateLimit(config.limits.refusedPerMinute, now);
  const rated = () => metrics.refused('rate');
  const server = createServer(
    { ...tlsServerOptions(keys), requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: REQUEST_TIMEOUT_MS },
    (request, answer) => {
      const status = answerRequest(request, answer, gate, relay);
      if (status === 200) return frontDoor.guest(request.socket)?.known();
      const much = !refusals.allow(plainAddress(request.socket.remoteAddress));
      if (much) rated();
      answer.writeHead(much ? 429 : status, { connection: 'close' }).end();
    },
  );
  server.on('clientError', (_error, socket) => socket.destroy());
  frontDoor.guard(server);
  const upgrades = new Upgrades({
    frontDoor,
    refusals,
    entrances: relayEntrances(relay, gate, () => metrics.refused('ticket')),
    rated,
  });
  upgrades.serve(server);

  const listen = async () => {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(config.listen.port, config.listen.address, resolve);
    }).catch((error: unknown) => {
      if (!isErrno(error, 'EADDRINUSE')) throw error;
      const { address, port } = config.listen;
      throw new VmcError('port-in-use', `Another program listens at ${address} port ${port}.`, 'ss -ltnp shows which.');
    });
    const { address, port } = config.metrics;
    if (port === undefined) return undefined;
    const collect = () => [...relayFamilies({ metrics, frontDoor, heartbeat }), ...processMetrics()];
    return serveMetrics({ address, port }, collect);
  };
  const close = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    await upgrades.close();
    server.closeAllConnections();
    await closed;
    relay.close();
    heartbeat.close();
    capture?.close();
  };
  const metricsServer = await listen().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  const { port } = server.address() as AddressInfo;
  log.info('listening', { port, pin, ...(metricsServer === undefined ? {} : { metricsPort: metricsServer.port }) });
  return {
    port,
    pin,
    metricsPort: metricsServer?.port,
    async close() {
      await metricsServer?.close();
      await close();
    },
  };
}

/** @returns 200 when it was answered, or the status that it should be answered with. */
function answerRequest(request: IncomingMessage, answer: ServerResponse, gate: Gate, relay: Relay): 200 | 401 | 404 {
  request.resume();
  if (request.url !== relayParked.path || request.method !== relayParked.method) return 404;
  if (!gate.isBackend(request.headers.authorization)) return 401;
  answer.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  answer.end(JSON.stringify({ vmIds: relay.readyVms() }));
  return 200;
}
