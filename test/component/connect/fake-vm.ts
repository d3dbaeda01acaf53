/** A fake VM: real enrolment, relay socket, channels, rights, dispatcher and tunnel server; drives only in memory. */

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IsoStatus, NfsStatus } from '../../../shared/api/media.ts';
import type { SftpAccess } from '../../../shared/api/tunnel.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import type { Bootstrap } from '../../../shared/bootstrap.ts';
import { VmcError } from '../../../shared/errors.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import type { RelayAccess } from '../../../shared/rest-api/vm-enrol.ts';
import { AuditLog } from '../../../vmc/audit/audit-log.ts';
import { ChannelServer } from '../../../vmc/channel-server/channel-server.ts';
import { makeDispatch } from '../../../vmc/dispatch.ts';
import type { Drives } from '../../../vmc/drives/drives.ts';
import { asSecret } from '../../../vmc/drives/unlock.ts';
import type { Isos } from '../../../vmc/media/isos.ts';
import type { Media } from '../../../vmc/media/media.ts';
import type { NfsMounts } from '../../../vmc/media/nfs.ts';
import { People } from '../../../vmc/people/people.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';
import { Grants } from '../../../vmc/tunnel/grants.ts';
import { Tunnel } from '../../../vmc/tunnel/tunnel.ts';
import { TunnelServer } from '../../../vmc/tunnel/tunnel-server.ts';
import { FakeDisks } from './fake-disks.ts';

const READY = { readyPerGrant: 8, readySeconds: 60 };

export class FakeVm {
  readonly bootstrap: Bootstrap;
  readonly ports: { from: number; to: number }[];
  identity: Identity = generateIdentity();
  readonly disks = new FakeDisks();
  /** The key each drive was formatted with. */
  readonly keys = this.disks.formattedWith;
  readonly isos = new Map<string, IsoStatus>();
  readonly nfsMounts = new Map<string, NfsStatus>();
  readonly calls: string[] = [];
  /** Told of each method that was carried out, before the answer goes out; what it throws goes out instead. */
  onAnswer: (method: string) => Promise<void> | void = () => {};
  /** What format does before it is done. */
  onFormat: (progress: (step: string) => void) => Promise<void> = async () => {};
  readonly grants = new Grants(
    { lifetimeMs: 60_000, maxGrantsPerPerson: 4, maxStreamsPerGrant: 64, maxStreamsPerPerson: 256, ...READY },
    Date.now,
  );
  /** A new one is what a restart of vmc does. */
  requests = new RequestMemory();
  readonly #client: BackendClient;
  readonly #abort = new AbortController();
  /** Refuses everybody, the owner too. */
  knowsNobody = false;
  /** What everybody may do with files, and where. */
  sftp: SftpAccess | undefined;
  /** Tells another version than the true one. */
  peopleVersion: number | undefined;
  /** Where its state is, while it is parked. */
  get stateDir(): string {
    return this.#stateDir ?? '';
  }

  #stateDir: string | undefined;
  audit: AuditLog | undefined;
  #channels: ChannelServer | undefined;
  #server: TunnelServer;
  #tunnel: Tunnel;
  #parked: { close(): void } | undefined;
  #running: Promise<void> = Promise.resolve();

  /** @param ports that the tunnel may reach. */
  constructor(bootstrap: Bootstrap, ports: { from: number; to: number }[]) {
    this.bootstrap = bootstrap;
    this.ports = ports;
    this.#client = new BackendClient(bootstrap.backend);
    this.#server = this.#makeServer();
    this.#tunnel = this.#makeTunnel();
  }

  #makeServer(): TunnelServer {
    return new TunnelServer({
      ...{ ...READY, grants: this.grants, maxPreAuth: 64, maxPreAuthPerAddress: 64 },
      onRefused: () => {},
    });
  }

  #makeTunnel(): Tunnel {
    return new Tunnel({
      ...{ ...READY, grants: this.grants, server: this.#server, ports: this.ports, now: () => new Date() },
      sftpFor: async () => this.sftp,
    });
  }

  /** As after a restart of vmc: streams, grants and channels are gone, the server certificate is another one. */
  async restart(): Promise<void> {
    const { port } = this.#server.tcp.address() as AddressInfo;
    await this.#server.close();
    this.cutChannels();
    this.requests = new RequestMemory();
    this.#server = this.#makeServer();
    this.#tunnel = this.#makeTunnel();
    this.#server.tcp.listen(port, '127.0.0.1');
    await once(this.#server.tcp, 'listening');
  }

  cutChannels(): void {
    this.#channels?.cut(fingerprint(this.bootstrap.owner.ed25519));
  }

  /** @returns the port that stands for the VM's port 22. */
  async start(): Promise<number> {
    this.#server.tcp.listen(0, '127.0.0.1');
    await once(this.#server.tcp, 'listening');
    return (this.#server.tcp.address() as AddressInfo).port;
  }

  /** Enrols, and keeps one socket parked. Resolves when the first is. */
  async park(): Promise<void> {
    const { vm, enrolToken } = this.bootstrap;
    this.#stateDir = await mkdtemp(join(tmpdir(), 'vmc-fake-'));
    this.#channels = await this.#makeChannels(this.#stateDir);
    const access = await this.#client.enrolVm(this.identity, vm.id, enrolToken);
    const first = Promise.withResolvers<void>();
    this.#running = this.#keepParked(access, first.resolve).catch(first.reject);
    await first.promise;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#parked?.close();
    await this.#running.catch(() => {});
    await this.#channels?.close();
    await this.audit?.close();
    await this.#server.close();
    this.#client.close();
    if (this.#stateDir !== undefined) await rm(this.#stateDir, { recursive: true, force: true });
  }

  async #keepParked({ relays, pass }: RelayAccess, onParked: () => void): Promise<void> {
    while (!this.#abort.signal.aborted) {
      const [relay] = relays;
      if (relay === undefined) return;
      const { id } = this.bootstrap.vm;
      const parked = await this.#client.parkAtRelay(relay, this.identity, id, pass, this.#abort.signal);
      this.#parked = parked;
      onParked();
      const socket = await parked.paired.catch(() => undefined);
      if (socket === undefined) return;
      void this.#channels?.serve(socket);
    }
  }

  #drives(): Pick<Drives, 'list' | 'format' | 'open' | 'close' | 'trim'> {
    const { disks } = this;
    return {
      list: async () => [...disks.disks.values()].map((it) => it.status),
      format: async ({ driveId, key, overwrite, fileSystem }, { progress }) => {
        if (disks.disk(driveId).status.state !== 'blank' && overwrite !== driveId)
          throw new VmcError('not-blank', 'It holds data.', 'Pass its id again.');
        await this.onFormat((step) => progress({ step }));
        return disks.format(driveId, key, fileSystem);
      },
      open: async ({ driveId, key, name: folder, readOnly }) => {
        disks.slotOf(driveId, { key: Buffer.from(asSecret(key).bytes) });
        const { fileSystem = 'ext4' } = disks.disk(driveId).status;
        return disks.set(driveId, { state: 'mounted', mountPoint: `/mnt/${folder}`, readOnly, fileSystem });
      },
      close: async (driveId) => disks.set(driveId, { state: 'locked' }),
      trim: async () => 4096,
    };
  }

  /** In memory. */
  #media(): { isos: Pick<Isos, 'list' | 'mount' | 'unmount'>; nfs: Pick<NfsMounts, 'list' | 'mount' | 'unmount'> } {
    const iso = (isoId: string): IsoStatus => {
      const found = this.isos.get(isoId);
      if (found === undefined) throw new VmcError('not-found', 'It is not attached.');
      return found;
    };
    return {
      isos: {
        list: async () => [...this.isos.values()],
        mount: async ({ isoId, name }) => {
          const mountPoint = `/mnt/${name}`;
          this.isos.set(isoId, { ...iso(isoId), state: 'mounted', mountPoint });
          return { mountPoint, readOnly: true };
        },
        unmount: async (isoId) => {
          const { mountPoint: _, ...rest } = iso(isoId);
          this.isos.set(isoId, { ...rest, state: 'attached' });
        },
      },
      nfs: {
        list: async () => ({
          servers: ['10.0.0.5'],
          mounts: [...this.nfsMounts.values()].map((it) => ({ ...it, readOnly: true })),
        }),
        mount: async ({ server, path, name }) => {
          if (server !== '10.0.0.5') throw new VmcError('forbidden', 'It is not an NFS server of this VM.');
          const mountPoint = `/mnt/${name}`;
          this.nfsMounts.set(name, { name, server, path, mountPoint });
          return { mountPoint, readOnly: true };
        },
        unmount: async (name) => void this.nfsMounts.delete(name),
      },
    };
  }

  /** The tunnel of vmc as it runs now, also after a restart. */
  #newestTunnel() {
    const now = () => this.#tunnel;
    return new Proxy(now(), { get: (_first, name: keyof Tunnel) => now()[name].bind(now()) });
  }

  /** The real rights, dispatcher and channels, as daemon.ts puts them together. */
  async #makeChannels(stateDir: string): Promise<ChannelServer> {
    const { vm, owner } = this.bootstrap;
    const audit = await AuditLog.open(
      stateDir,
      { now: () => new Date(), onProblem: () => {} },
      { failClosed: false, maxMegabytes: 0.02, keepFiles: 0 },
    );
    this.audit = audit;
    await audit.signWith(this.identity, vm.id);
    const people = await People.open({
      ...{ stateDir, identity: this.identity, vmId: vm.id, owner: owner.ed25519, clock: Date.now, audit },
      onProblem: (_problem, error) => {
        throw error;
      },
    });
    const dispatch = makeDispatch({
      ...{ audit, auditLog: audit.reader, people, vmId: vm.id, tunnel: this.#newestTunnel() },
      requests: { once: (...request) => this.requests.once(...request) },
      drives: async () => this.#drives() as Drives,
      media: async () => this.#media() as Media,
      info: () => ({
        vmId: vm.id,
        name: vm.name,
        version: '0',
        fingerprint: fingerprint(this.identity.public.ed25519),
        ownerFingerprint: fingerprint(owner.ed25519),
        peopleVersion: this.peopleVersion ?? people.state.version,
        startedAt: 0,
        secondsOfNode: 0.03,
        rssBytes: 1,
      }),
    });
    const looksAfterDrives = this.disks.handler();
    const channels = new ChannelServer({
      identity: this.identity,
      rightsOf: (person) => (this.knowsNobody ? undefined : people.rightsOf(person)),
      isOwner: (person) => person.toBase64() === people.ownerKey,
      audit,
      onInternalError: () => {},
      greetingFor: (person) => this.requests.greeting(person),
      handleFor: (caller) => {
        const handle = dispatch(caller);
        return async (method, params, context) => {
          this.calls.push(method);
          const answer = await (FakeDisks.knows(method) ? looksAfterDrives : handle)(method, params, context);
          await this.onAnswer(method);
          return answer;
        };
      },
    });
    people.onShrunk((who) => {
      this.requests.stop(who);
      channels.cut(who);
      this.grants.closeOf(who);
    });
    return channels;
  }
}
