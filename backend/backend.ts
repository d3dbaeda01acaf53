/** The whole backend, put together: rest, relay and endpoints on one store. */
import type { AddressInfo } from 'node:net';
import { HOST_LINK_PATH } from '../shared/agent-api/index.ts';
import { VmcError } from '../shared/errors.ts';
import { isErrno } from '../shared/files.ts';
import { KeyedMutex } from '../shared/keyed-mutex.ts';
import { errorFields, type Log } from '../shared/log.ts';
import { Challenges } from './accounts/challenges.ts';
import { makeFirstCode, needsFirstCode } from './accounts/first-code.ts';
import { accountHandlers } from './accounts/handlers.ts';
import type { Config } from './config.ts';
import { Endpoints } from './endpoints/endpoints.ts';
import { hostHandlers } from './hosts/handlers.ts';
import { HostLinks } from './hosts/links.ts';
import { jobHandlers } from './jobs/handlers.ts';
import { Jobs } from './jobs/jobs.ts';
import type { MachineDeps } from './machines/deps.ts';
import { driveFileHandlers } from './machines/drive-file-handlers.ts';
import { driveHandlers } from './machines/drive-handlers.ts';
import { driveHeaderHandlers } from './machines/drive-header-handlers.ts';
import { driveKeyHandlers } from './machines/drive-key-handlers.ts';
import { drivePeopleHandlers } from './machines/drive-people-handlers.ts';
import { endpointHandlers } from './machines/endpoint-handlers.ts';
import { isoHandlers } from './machines/iso-handlers.ts';
import { peopleHandlers } from './machines/people-handlers.ts';
import { mayReach as isReachable } from './machines/reach.ts';
import { Settler } from './machines/settle.ts';
import { snapshotHandlers } from './machines/snapshot-handlers.ts';
import { vmDriveHandlers } from './machines/vm-drive-handlers.ts';
import { vmHandlers } from './machines/vm-handlers.ts';
import { endpointFamilies } from './metrics/endpoint-families.ts';
import { serveMetrics } from './metrics/metrics-server.ts';
import { processMetrics } from './metrics/process-metrics.ts';
import { relayFamilies } from './metrics/relay-families.ts';
import { FrontDoor } from './net/front-door.ts';
import { Heartbeat } from './net/heartbeat.ts';
import { RateLimit } from './net/rate-limit.ts';
import { Upgrades } from './net/upgrades.ts';
import { openCapture } from './relay/capture.ts';
import { relayEntrances } from './relay/entrances.ts';
import { Gate } from './relay/gate.ts';
import { Relay } from './relay/relay.ts';
import { RelayMetrics } from './relay/relay-metrics.ts';
import { makeRestServer, type RestServer } from './rest/server.ts';
import { initStateFolder } from './state-folder.ts';
import { openStore, type Store } from './store/store.ts';
import { ticketHandlers } from './tickets/handlers.ts';
import { Presence } from './tickets/presence.ts';
import { initTicketKey } from './tickets/ticket-key.ts';
import { TicketOffice } from './tickets/ticket-office.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export interface BackendDeps {
  log: Log;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Says one line to the administrator who watches the first start. */
  announce?: (line: string) => void;
}

export interface RunningBackend {
  /** https://host:port */
  url: string;
  /** SHA-256 of its SPKI, lower-case hex. */
  pin: string;
  metricsPort: number | undefined;
  /** Asks rest without a network. */
  readonly ask: RestServer['inject'];
  close(): Promise<void>;
}

/** @throws VmcError 'bad-config' or 'bad-data' for a state folder that cannot be used, 'port-in-use'. */
export async function startBackend(config: Config, deps: BackendDeps): Promise<RunningBackend> {
  const { log, now = Date.now } = deps;
  const { keys } = await initStateFolder(config.stateDir, new Date(now()));
  const { pin } = keys;
  const ticketKey = await initTicketKey(config.stateDir);
  const capture = openCapture(config.relay, log);
  const store = openStore(config.stateDir);
  const heartbeat = new Heartbeat();
  let url = config.publicUrl;

  store.vms.markInterrupted('The backend stopped while it was being made.');
  store.drives.markInterrupted();
  store.snapshots.markInterrupted(now());
  const tidyTimer = setInterval(() => tidy(store, now(), config.auditDays), HOUR_MS);
  tidyTimer.unref();
  tidy(store, now(), config.auditDays);

  const audit = (actor: string, action: string, target: string) =>
    store.audit.add({ at: now(), actor, action, target, result: 'ok' });
  const relays = () => [...(config.relay.embedded ? [{ url, pin }] : []), ...config.relay.others];
  const office = new TicketOffice({ seed: ticketKey.seed, relays, now });
  const mayReach = (userId: string, vmId: string) => isReachable(store, userId, vmId);
  const challenges = new Challenges(now);
  const metrics = new RelayMetrics();
  const gate = new Gate({ ticketKey: ticketKey.public, pin, now });
  const relay = new Relay({
    gate,
    heartbeat,
    limits: config.relay,
    metrics,
    capture: capture && ((bytes) => capture.write(bytes)),
    paired: (userId, vmId) => audit(userId, 'relay.pair', vmId),
  });
  const presence = new Presence({ relay, others: config.relay.others, seed: ticketKey.seed, now });
  const links = new HostLinks({
    hostKey: (hostId) => store.hosts.get(hostId)?.ed25519 ?? undefined,
    pin,
    heartbeat,
    linked(hostId) {
      store.hosts.seen(hostId, now());
      audit(hostId, 'host.link', hostId);
      log.info('host linked', { hostId });
    },
    lost(hostId) {
      store.hosts.seen(hostId, now());
      audit(hostId, 'host.lost', hostId);
      log.warn('host lost', { hostId });
    },
    reported(hostId, report) {
      store.hosts.seen(hostId, now());
      settler.onReport(hostId, report);
    },
    badReport: (hostId) => log.warn('host report not understood', { hostId }),
  });
  const endpoints = new Endpoints(config.endpoints, now);
  const mutex = new KeyedMutex();
  const jobs = new Jobs({
    links,
    mutex,
    now,
    ended({ userId, kind, target, error }) {
      const result = error?.code ?? 'ok';
      store.audit.add({ at: now(), actor: userId, action: `job.${kind}`, target, result });
    },
    failed: ({ jobId, kind }, error) => log.error('job failed', { jobId, kind, ...errorFields(error) }),
  });
  const machines: MachineDeps = {
    store,
    links,
    relay,
    office,
    presence,
    endpoints,
    mutex,
    jobs,
    log,
    now,
    publicUrl: () => url,
    pin,
    limits: config.limits,
  };
  const settler = new Settler(machines);
  const frontDoor = new FrontDoor({ ...config.limits, ...config.relay });
  const refusals = new RateLimit(config.limits.refusedPerMinute, now);
  const app = makeRestServer({
    keys,
    store,
    log,
    now,
    frontDoor,
    strangers: new RateLimit(config.limits.unauthenticatedPerMinute, now),
    refusals,
    handlers: {
      ...accountHandlers({
        store,
        pin,
        now,
        challenges,
        sessionHours: config.sessionHours,
        sessionEnded: (sessionId) => endpoints.closeOfSession(sessionId),
      }),
      ...hostHandlers({ store, links, now }),
      ...vmHandlers(machines),
      ...peopleHandlers(machines),
      ...driveHandlers(machines),
      ...driveFileHandlers(machines),
      ...drivePeopleHandlers(machines),
      ...driveKeyHandlers(machines),
      ...driveHeaderHandlers(machines),
      ...snapshotHandlers(machines),
      ...jobHandlers(jobs),
      ...endpointHandlers(machines),
      ...isoHandlers(machines),
      ...vmDriveHandlers(machines),
      ...ticketHandlers({
        store,
        office,
        challenges,
        pin,
        mayReach,
        rate: new RateLimit(config.limits.ticketsPerMinute, now),
      }),
    },
  });
  const upgrades = new Upgrades({
    frontDoor,
    refusals,
    rated: () => metrics.refused('rate'),
    entrances: {
      [HOST_LINK_PATH]: () => (socket, known) => links.accept(socket, known),
      ...(config.relay.embedded ? relayEntrances(relay, gate, () => metrics.refused('ticket')) : {}),
    },
  });

  let metricsServer: Awaited<ReturnType<typeof serveMetrics>> | undefined;
  const close = async () => {
    await metricsServer?.close();
    clearInterval(tidyTimer);
    app.server.close(); // no new connections; what hangs on the old ones ends next
    await upgrades.close();
    await jobs.close();
    relay.close();
    presence.close();
    await endpoints.closeAll();
    await app.close();
    await settler.idle();
    heartbeat.close();
    capture?.close();
    store.close();
  };
  try {
    upgrades.serve(app.server);
    await app.listen({ host: config.listen.address, port: config.listen.port });
    const { address, port } = config.metrics;
    const collect = () => [
      ...relayFamilies({ metrics, frontDoor, heartbeat }),
      ...endpointFamilies(endpoints.metrics),
      ...processMetrics(),
    ];
    if (port !== undefined) metricsServer = await serveMetrics({ address, port }, collect);
  } catch (error) {
    await close();
    if (!isErrno(error, 'EADDRINUSE')) throw error;
    const { address, port } = config.listen;
    throw new VmcError('port-in-use', `Another program listens at ${address} port ${port}.`, `ss -ltnp shows which.`);
  }
  const { port } = app.server.address() as AddressInfo;
  if (config.listen.port === 0) url = `https://${config.listen.address}:${port}`;
  log.info('listening', { url, port, pin });
  if (needsFirstCode(store)) deps.announce?.(`First account: connect claim --code ${makeFirstCode(store, now())}`);
  return { url, pin, metricsPort: metricsServer?.port, ask: app.inject.bind(app), close };
}

function tidy(store: Store, now: number, auditDays: number): void {
  store.sessions.removeExpired(now);
  store.codes.removeExpired(now);
  store.audit.removeBefore(now - auditDays * DAY_MS);
}
