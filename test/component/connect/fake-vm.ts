/** A fake VM: real enrolment, relay socket, channel, dispatcher and tunnel server; drives only in memory. */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { WebSocket } from 'ws';
import type { DriveStatus } from '../../../shared/api/drive.ts';
import { controlMethods } from '../../../shared/api/index.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import type { Bootstrap } from '../../../shared/bootstrap.ts';
import { equalBytes } from '../../../shared/bytes.ts';
import { ReplayCache } from '../../../shared/channel/replay-cache.ts';
import { acceptChannel } from '../../../shared/channel/run-handshake.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import type { RelayAccess } from '../../../shared/rest-api/vm-enrol.ts';
import { dispatcher } from '../../../shared/rpc/dispatch.ts';
import type { Implementation } from '../../../shared/rpc/method.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { RequestMemory } from '../../../vmc/requests/request-memory.ts';
import { Grants } from '../../../vmc/tunnel/grants.ts';
import { Tunnel } from '../../../vmc/tunnel/tunnel.ts';
import { TunnelServer } from '../../../vmc/tunnel/tunnel-server.ts';

export class FakeVm {
  readonly bootstrap: Bootstrap;
  identity: Identity = generateIdentity();
  /** The key each drive was formatted with. */
  readonly keys = new Map<string, Uint8Array>();
  readonly drives = new Map<string, DriveStatus>();
  readonly calls: string[] = [];
  /** What format does before it is done. */
  onFormat: (progress: (step: string) => void) => Promise<void> = async () => {};
  readonly grants = new Grants({ lifetimeMs: 60_000, maxGrantsPerPerson: 4, maxStreamsPerGrant: 64 }, Date.now);
  /** A new one is what a restart of vmc does. */
  requests = new RequestMemory();
  readonly #client: BackendClient;
  readonly #abort = new AbortController();
  readonly #replayCache = new ReplayCache();
  readonly #peers = new Set<RpcPeer>();
  readonly #server: TunnelServer;
  readonly #tunnel: Tunnel;
  #parked: { close(): void } | undefined;
  #running: Promise<void> = Promise.resolve();

  /** @param ports that the tunnel may reach. */
  constructor(bootstrap: Bootstrap, ports: { from: number; to: number }[]) {
    this.bootstrap = bootstrap;
    this.#client = new BackendClient(bootstrap.backend);
    const { grants } = this;
    this.#server = new TunnelServer({ grants, ports, maxPreAuth: 64, maxPreAuthPerAddress: 64, onRefused: () => {} });
    this.#tunnel = new Tunnel({ grants, server: this.#server, ports, now: () => new Date() });
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
    const access = await this.#client.enrolVm(this.identity, vm.id, enrolToken);
    const first = Promise.withResolvers<void>();
    this.#running = this.#keepParked(access, first.resolve).catch(first.reject);
    await first.promise;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#parked?.close();
    await this.#running.catch(() => {});
    await Promise.all([...this.#peers].map((peer) => peer.close()));
    await this.#server.close();
    this.#client.close();
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
      void this.#serve(socket).catch(() => {});
    }
  }

  async #serve(socket: WebSocket): Promise<void> {
    const transport = webSocketTransport(socket);
    socket.resume();
    const channel = await acceptChannel(transport, {
      identity: this.identity,
      authorize: (peer) => equalBytes(peer, this.bootstrap.owner.ed25519),
      replayCache: this.#replayCache,
    });
    const person = fingerprint(channel.peer);
    const { requests } = this;
    const handle = dispatcher(
      controlMethods,
      this.#implementation(),
      () => {},
      {},
      (request, work) => requests.once(person, request, work),
    );
    const peer = new RpcPeer(channel, {
      greeting: requests.greeting(person),
      handle: (method, params, context) => {
        this.calls.push(method);
        return handle(method, params, context);
      },
    });
    this.#peers.add(peer);
    await peer.ended.catch(() => {});
    this.#peers.delete(peer);
  }

  #status(driveId: string): DriveStatus {
    return this.drives.get(driveId) ?? { driveId, state: 'blank' };
  }

  #set(status: DriveStatus): DriveStatus {
    this.drives.set(status.driveId, status);
    return status;
  }

  #implementation(): Implementation<typeof controlMethods, object> {
    const person = fingerprint(this.bootstrap.owner.ed25519);
    const { id: vmId, name } = this.bootstrap.vm;
    return {
      systemInfo: async () => ({
        vmId,
        name,
        version: '0',
        fingerprint: fingerprint(this.identity.public.ed25519),
        ownerFingerprint: person,
        startedAt: 0,
        secondsOfNode: 0.03,
        rssBytes: 1,
      }),
      systemPing: async ({ payload }) => ({ payload }),
      driveList: async () => ({ drives: [...this.drives.values()] }),
      driveFormat: async ({ driveId, key, overwrite }, { progress }) => {
        if (this.#status(driveId).state !== 'blank' && overwrite !== driveId)
          throw new VmcError('not-blank', 'It holds data.', 'Pass its id again.');
        await this.onFormat((step) => progress({ step }));
        this.keys.set(driveId, key);
        return this.#set({ driveId, state: 'locked', fileSystem: 'ext4' });
      },
      driveOpen: async ({ driveId, key, name: folder, readOnly }) => {
        const wanted = this.keys.get(driveId);
        if (wanted === undefined || !equalBytes(wanted, key)) throw new VmcError('wrong-key', 'The key does not fit.');
        return this.#set({ driveId, state: 'mounted', mountPoint: `/mnt/${folder}`, readOnly, fileSystem: 'ext4' });
      },
      driveClose: async ({ driveId }) => this.#set({ driveId, state: 'locked' }),
      driveTrim: async () => ({ trimmedBytes: 4096 }),
      tunnelOpen: ({ certificateSha256 }) => this.#tunnel.open(certificateSha256, person),
      tunnelClose: async ({ certificateSha256 }) => ({ closedStreams: this.#tunnel.close(certificateSha256, person) }),
    };
  }
}
