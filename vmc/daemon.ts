/** The controller: puts the features together, in the order that gets it to the relay soonest and never open half-guarded. */
import { VmClient } from '../shared/backend-client/vm-client.ts';
import { makeBackoff } from '../shared/backoff.ts';
import { equalBytes } from '../shared/bytes.ts';
import { publicError, VmcError } from '../shared/errors.ts';
import { fingerprint } from '../shared/identity/fingerprint.ts';
import type { Ed25519PublicKey } from '../shared/identity/keys.ts';
import { errorFields, type Log } from '../shared/log.ts';
import { onDisturbance } from '../shared/net/disturbance.ts';
import { Undo } from '../shared/undo.ts';
import { Accounts } from './accounts/accounts.ts';
import { AuditLog } from './audit/audit-log.ts';
import { ChannelServer } from './channel-server/channel-server.ts';
import type { Config } from './config.ts';
import { makeDispatch } from './dispatch.ts';
import { RUN_FOLDER } from './drives/drive-lock.ts';
import type { Drives } from './drives/drives.ts';
import { listFrozen } from './drives/frozen.ts';
import { allowedTargets } from './firewall/allowed-targets.ts';
import { Firewall } from './firewall/firewall.ts';
import type { Media } from './media/media.ts';
import { watchNetwork } from './network/network-changes.ts';
import { People } from './people/people.ts';
import { memberOf, nameOf } from './people/people-state.ts';
import { claimPort } from './port22/claim-port.ts';
import { makePark, reachBackendOf } from './relay-client/park.ts';
import { otherRelays, RelayAccessKeeper } from './relay-client/relay-access.ts';
import { RelayClient } from './relay-client/relay-client.ts';
import { RequestMemory } from './requests/request-memory.ts';
import { Sftp } from './sftp/sftp.ts';
import { type Accepted, acceptBootstrap } from './state/accept-bootstrap.ts';
import { lockStateFolder } from './state/lock.ts';
import { readBootstrap } from './state/read-bootstrap.ts';
import { readRelayAccess } from './state/relay-access.ts';
import { openStateFolder } from './state/state-folder.ts';
import { grantEnded } from './tunnel/grant-ended.ts';
import { Grants } from './tunnel/grants.ts';
import { Tunnel } from './tunnel/tunnel.ts';
import { TunnelServer } from './tunnel/tunnel-server.ts';
import { VERSION } from './version.ts';

export interface DaemonDeps {
  log: Log;
  /** Says a line to the person at the console. */
  say: (line: string) => void;
  /** How many listening sockets systemd gave this process: none, or port 22. */
  givenSockets: number;
  /** This boot's bootstrap document; undefined when no credential was passed. */
  bootstrapPath: string | undefined;
  /** Unix time in milliseconds. */
  clock: () => number;
  /** Seconds since the process started. */
  uptime: () => number;
  /** Seconds after which Node had started, and after which vmc had been loaded. */
  seconds: { node: number; loaded: number };
  random: () => number;
}

export interface Daemon {
  /** Resolves when the first socket is parked at the relay. */
  parked: Promise<void>;
  /** Ends channels and tunnels, gives port 22 back. Drives stay mounted: people's work goes on without vmc. */
  close(): Promise<void>;
}

/** DNS, gateway and the rules in the kernel, and the age of the pass, are looked at this often, besides whenever systemd-networkd tells of a change. */
const REFRESH_MS = 60_000;

/**
 * config → port 22 → state → identity and firewall at once → relay.
 * @throws VmcError when vmc must not serve: 'port-in-use', 'bad-config', 'owner-mismatch', 'command-failed' (firewall) …
 */
export async function startDaemon(config: Config, deps: DaemonDeps): Promise<Daemon> {
  const undo = new Undo();
  try {
    return await start(config, deps, undo);
  } catch (error) {
    await undo.rollBack();
    throw error;
  }
}

async function start(config: Config, deps: DaemonDeps, undo: Undo): Promise<Daemon> {
  const { log, clock } = deps;
  const now = () => new Date(clock());
  const started = clock();
  let audit: AuditLog | undefined;
  let sftp: Sftp | undefined;

  const { tunnel: limits } = config;
  const grants = new Grants({ ...limits, lifetimeMs: limits.grantHours * 3_600_000 }, clock, (grant, use, why) => {
    void audit?.record(grantEnded(grant, use, why));
  });
  const server = new TunnelServer({
    ...limits,
    grants,
    onRefused: (result, target, who = 'unknown') => void audit?.refuse({ who, what: 'tunnel.refused', target, result }),
    onService: (service, port) => {
      if (port === config.sftp.port) sftp?.expect(service);
    },
  });
  await claimPort(server.tcp, limits.port, deps.givenSockets);
  undo.add('give the port back', () => server.close());

  const stateDir = await openStateFolder(config.stateDir);
  const lock = await lockStateFolder(stateDir);
  undo.add('unlock the state folder', () => lock.release());
  const opened = await AuditLog.open(stateDir, auditDeps(deps, now), config.audit);
  audit = opened;
  undo.add('close the audit log', () => opened.close());
  const { bootstrap, identity, learned } = await learnOwner(stateDir, deps, opened);
  const { vm, backend, owner, enrolToken } = bootstrap;
  await opened.signWith(identity, vm.id);
  if (learned) await sayOwner(owner.ed25519, deps, opened);

  const stored = await readRelayAccess(stateDir, vm.id, backend.pin);
  const firewall = new Firewall({
    backendUrl: backend.url,
    relayUrls: otherRelays(stored, backend.pin),
    tunnelPort: limits.port,
    allow: allowedTargets(config),
  });
  const [people] = await Promise.all([
    People.open({
      ...{ stateDir, identity, vmId: vm.id, owner: owner.ed25519, clock, audit: opened },
      onProblem: (problem, error) => log.error('people', { problem, ...errorFields(error) }),
    }),
    firewall.refresh(),
  ]);
  const own = fingerprint(identity.public.ed25519);
  deps.say(`VM ${vm.name} fingerprint ${own}`);
  const seconds = { ...deps.seconds, started: deps.uptime() };
  if (people.trouble !== undefined) deps.say(`ONLY THE OWNER MAY COME IN: ${people.trouble.message}`);
  log.info('started', { vmId: vm.id, version: VERSION, fingerprint: own });

  const accounts = new Accounts({
    ...{ stateDir, ...config.accounts },
    mayUseDrives: (person) => memberOf(people.state, person)?.rights.has('drives') === true,
  });
  const files = new Sftp({
    ...{ stateDir, accounts, audit: opened, port: config.sftp.port, limits: config.sftp },
    rightsOf: (person) => people.rightsOf(person),
    nameOf: (person) => nameOf(people.state, person),
    isOwner: (person) => equalBytes(person, owner.ed25519),
    onProblem: (error) => log.error('sftp-failed', errorFields(error)),
  });
  sftp = files;
  undo.add('end SFTP', () => files.close());
  const onSftpFailed = (error: unknown) => log.error('sftp-failed', errorFields(error));
  if (config.sftp.enabled) await files.listen().catch(onSftpFailed); // the rest works without it

  const drives = loadLate(config, deps, opened, () => accounts.drivesGid());
  void thawLeft(drives).catch((error: unknown) => log.error('thaw-failed', errorFields(error))); // its timer goes on

  const requests = new RequestMemory();
  undo.add('end what runs', () => requests.close());
  const channels = new ChannelServer({
    identity,
    rightsOf: (person) => people.rightsOf(person),
    isOwner: (person) => equalBytes(person, owner.ed25519),
    audit: opened,
    onInternalError: (method, error) => log.error('call-failed', { method, ...errorFields(error) }),
    greetingFor: (person) => requests.greeting(person),
    handleFor: makeDispatch({
      requests,
      audit: opened,
      auditLog: opened.reader,
      tunnel: new Tunnel({
        ...{ ...limits, grants, server, now, onSftpFailed },
        sftpFor: async (person, rights) => (config.sftp.enabled ? files.access(person, rights) : undefined),
      }),
      drives,
      media: loadMediaLate(config, log),
      people,
      vmId: vm.id,
      info: () => ({
        vmId: vm.id,
        name: vm.name,
        version: VERSION,
        fingerprint: own,
        ownerFingerprint: fingerprint(owner.ed25519),
        peopleVersion: people.state.version,
        peopleProblem: people.trouble?.message,
        startedAt: started,
        secondsToPark,
        secondsOfNode: seconds.node,
        rssBytes: process.memoryUsage.rss(),
      }),
    }),
  });

  people.onShrunk(requests.stop.bind(requests));
  people.onShrunk((who) => void channels.cut(who));
  people.onShrunk((who) => void grants.closeOf(who));
  people.onShrunk((who) => void files.cut(who));
  people.onShrunk(() => {
    accounts.rightsChanged().catch((error: unknown) => log.error('accounts-failed', errorFields(error)));
  });

  let secondsToPark: number | undefined;
  const firstPark = Promise.withResolvers<void>();
  const client = new VmClient(backend);
  const access = new RelayAccessKeeper({
    client,
    identity,
    vmId: vm.id,
    enrolToken,
    stateDir,
    stored,
    setRelays: (urls) => firewall.setRelays(urls),
    clock,
    log,
  });
  const relay = new RelayClient({
    clock: () => performance.now(),
    backoff: makeBackoff(deps.random),
    park: makePark({ client, firewall, access, identity, vmId: vm.id, random: deps.random }),
    serve: (socket) => void channels.serve(socket),
    onParked: () => {
      if (secondsToPark !== undefined) return;
      secondsToPark = deps.uptime();
      log.info('parked', { seconds: { ...seconds, parked: secondsToPark }, rssBytes: process.memoryUsage.rss() });
      firstPark.resolve();
    },
    onTrouble: (error, retryMs) => log.warn('not-parked', { ...errorFields(error), retryMs: Math.round(retryMs) }),
  });

  const refresh = () => {
    firewall.refresh().catch((error: unknown) => log.error('firewall-failed', errorFields(error))); // the old rules stay
  };
  const onChange = () => {
    refresh();
    relay.retryNow();
  };
  const unwatch = watchNetwork(onChange);
  const stopListening = onDisturbance(onChange);
  const repair = async () => {
    if (await firewall.repair()) {
      log.error('firewall-repaired');
      await opened.record({ who: 'vmc', what: 'firewall.repaired', result: 'ok' });
    }
  };
  const renewPass = () => access.renewIfDue(reachBackendOf({ firewall, client }));
  const timer = setInterval(() => {
    void renewPass().catch((error: unknown) => log.error('pass-not-kept', errorFields(error)));
    void repair().catch((error: unknown) => log.error('firewall-failed', errorFields(error)));
  }, REFRESH_MS).unref();
  relay.start();

  return {
    parked: firstPark.promise,
    async close() {
      unwatch();
      stopListening();
      clearInterval(timer);
      await relay.stop();
      requests.close();
      await channels.close();
      await files.close();
      await server.close();
      client.close();
      await opened.close();
      await lock.release();
      log.info('stopped');
    },
  };
}

/** A log that fails is said on the console too: with failClosed nothing can be changed until it works again. */
const auditDeps = ({ log, say }: DaemonDeps, now: () => Date) => ({
  now,
  onProblem: (problem: string) => {
    log.error('audit-failed', { problem });
    say(problem);
  },
  onRecovered: () => {
    log.info('audit-recovered');
    say('The audit log is written again.');
  },
});

/** A bootstrap that names another owner is an event of its own: it goes to the audit log too. */
async function learnOwner(stateDir: string, deps: DaemonDeps, audit: AuditLog): Promise<Accepted> {
  try {
    const given = deps.bootstrapPath === undefined ? undefined : await readBootstrap(deps.bootstrapPath);
    return await acceptBootstrap(stateDir, given, new Date(deps.clock()));
  } catch (error) {
    if (error instanceof VmcError)
      await audit.record({
        who: 'vmc',
        what: 'bootstrap.refused',
        target: error.message,
        result: publicError(error).code,
      });
    throw error;
  }
}

async function sayOwner(owner: Ed25519PublicKey, { say }: DaemonDeps, audit: AuditLog): Promise<void> {
  const target = fingerprint(owner);
  say(`owner ${target}, learned now and never replaced`);
  await audit.record({ who: 'vmc', what: 'owner.learned', target, result: 'ok' });
}

/** Drives are loaded when somebody first asks for one: they are not needed to be reachable. */
function loadLate(
  { stateDir, drives: { mountRoot } }: Config,
  { log, clock }: DaemonDeps,
  audit: AuditLog,
  peopleGid: () => Promise<number>,
): () => Promise<Drives> {
  let drives: Promise<Drives> | undefined;
  return () => {
    drives ??= import('./drives/drives.ts').then(
      ({ Drives }) =>
        new Drives({
          ...{ mountRoot, stateDir, clock, peopleGid },
          onUndoFailed: (what, error) => log.error('undo-failed', { what, ...errorFields(error) }),
          onChecked: (driveId, check) => {
            log.warn('file-system-checked', { driveId, ...check });
            const target = `${driveId} ${check.tool}${check.repaired ? ', repaired' : ''}`;
            void audit.record({ who: 'vmc', what: 'drive.checked', target, result: 'ok' });
          },
        }),
    );
    return drives;
  };
}

function loadMediaLate(config: Config, log: Log): () => Promise<Media> {
  let media: Promise<Media> | undefined;
  return () => {
    media ??= import('./media/media.ts').then(({ openMedia }) =>
      openMedia(config, (what, error) => log.error('undo-failed', { what, ...errorFields(error) })),
    );
    return media;
  };
}

/** What was frozen when vmc was killed. */
async function thawLeft(drives: () => Promise<Drives>): Promise<void> {
  if ((await listFrozen(RUN_FOLDER)).length === 0) return;
  await (await drives()).thawAll({ signal: AbortSignal.timeout(60_000) });
}
