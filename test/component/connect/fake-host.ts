/** A fake host agent: answers what the backend asks of a host from memory. The real agent is tested elsewhere. */
import {
  agentMethods,
  type DriveFile,
  HOST_REPORT,
  type HostReport,
  type VmStatus,
} from '../../../shared/agent-api/index.ts';
import type { IsoFile } from '../../../shared/agent-api/isos.ts';
import { linkPipe } from '../../../shared/agent-api/link-pipe.ts';
import { type Forgotten, SNAPSHOT_COPYING, type Snapshot } from '../../../shared/agent-api/snapshots.ts';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { dispatcher } from '../../../shared/rpc/dispatch.ts';
import type { CallContext } from '../../../shared/rpc/method.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';
import { FakeVm } from './fake-vm.ts';

const REPORT: HostReport = {
  version: '0',
  libvirt: { ok: true },
  utilisation: {
    cores: 2,
    load1: 0,
    memoryBytes: 2 ** 34,
    memoryFreeBytes: 2 ** 33,
    pools: [{ name: 'drives', sizeBytes: 2 ** 40, freeBytes: 2 ** 39 }],
  },
  vms: [],
};

/** What it has in its pool. */
export const ISOS: IsoFile[] = [
  { isoId: 'iso00000000000000a1', name: 'tools', sizeBytes: 2 ** 20 },
  { isoId: 'iso00000000000000b2', name: 'debian-12.5', sizeBytes: 2 ** 30 },
];

export interface HostSite {
  url: string;
  pin: string;
  /** Those that it made, by name. */
  vms: Map<string, FakeVm>;
  /** Ports that the tunnels of VMs made from now on may reach. */
  tunnelPorts(): { from: number; to: number }[];
}

export class FakeHost {
  readonly files = new Map<string, DriveFile>();
  readonly snapshots = new Map<string, Snapshot>();
  readonly calls: string[] = [];
  /** Long work waits for this, after it has told of its progress. */
  onWork: (method: string, context: CallContext) => Promise<void> = async () => {};
  /** What the next check and verification find. */
  damaged = false;
  /** What `snapshot.forget` ends, of whatever drive. */
  readonly unfinished: Forgotten[] = [];
  readonly #site: HostSite;
  readonly #states = new Map<string, VmStatus>();
  #peer: RpcPeer | undefined;
  readonly #ends: (() => Promise<void> | void)[] = [];

  constructor(site: HostSite) {
    this.#site = site;
  }

  async link(hostId: string, token: string): Promise<void> {
    const client = new BackendClient({ url: this.#site.url, pin: this.#site.pin });
    const identity = generateIdentity();
    await client.enrolHost(identity, hostId, new Uint8Array(Buffer.from(token, 'base64')), '127.0.0.1');
    const socket = await client.openHostLink(identity, hostId);
    const transport = linkPipe(webSocketTransport(socket));
    socket.resume();
    const handle = this.#handler();
    const peer = new RpcPeer(transport, {
      handle: (method, ...rest) => {
        this.calls.push(method);
        return handle(method, ...rest);
      },
    });
    this.#ends.push(
      () => peer.close(),
      () => client.close(),
    );
    this.#peer = peer;
    await peer.notify(HOST_REPORT, REPORT);
  }

  /** As QEMU stops it, and as the agent then reports. */
  async pause(vmId: string, pausedBecause: 'no-space' | 'io-error'): Promise<void> {
    Object.assign(this.#status(vmId), { state: 'paused', pausedBecause });
    await this.#peer?.notify(HOST_REPORT, { ...REPORT, vms: [...this.#states.values()] });
  }

  async close(): Promise<void> {
    for (const end of this.#ends) await end();
  }

  #status(vmId: string): VmStatus {
    const found = this.#states.get(vmId);
    if (found === undefined) throw new VmcError('not-found', 'no such domain');
    return found;
  }

  #vmOf(vmId: string): FakeVm | undefined {
    return [...this.#site.vms.values()].find((it) => it.bootstrap.vm.id === vmId);
  }

  #file(driveId: string): DriveFile {
    const found = this.files.get(driveId);
    if (found === undefined) throw new VmcError('not-found', 'no such drive');
    return found;
  }

  #snapshot(snapshotId: string): Snapshot {
    const found = this.snapshots.get(snapshotId);
    if (found === undefined) throw new VmcError('not-found', 'no such snapshot');
    return found;
  }

  async #work(method: string, context: CallContext, step = 'working'): Promise<void> {
    context.progress({ step, done: 1, total: 4, unit: 'bytes' });
    await this.onWork(method, context);
    context.signal.throwIfAborted();
  }

  #handler() {
    return dispatcher(
      agentMethods,
      {
        vmCreate: async ({ bootstrap }) => {
          const vm = new FakeVm(bootstrap, this.#site.tunnelPorts());
          const { id: vmId, name } = bootstrap.vm;
          this.#site.vms.set(name, vm);
          const hostPort = await vm.start();
          const made: VmStatus = { vmId, state: 'running', address: '10.0.0.2', hostPort, attached: [] };
          this.#states.set(vmId, made);
          setTimeout(() => void vm.park().catch(() => {}), 50); // it boots
          return made;
        },
        vmStart: async ({ vmId }) => Object.assign(this.#status(vmId), { state: 'running' as const }),
        vmShutdown: async ({ vmId }) => Object.assign(this.#status(vmId), { state: 'off' as const }),
        vmDelete: async () => ({}),
        vmStatus: async ({ vmId }) => this.#status(vmId),
        driveCreate: async ({ driveId, format, sizeBytes, allocation }, context) => {
          if (allocation !== 'sparse') await this.#work('drive.create', context);
          this.files.set(driveId, { driveId, format, sizeBytes, allocatedBytes: 8192 });
          return this.#file(driveId);
        },
        driveInfo: async ({ driveId }) => this.#file(driveId),
        driveDelete: async ({ driveId }) => {
          this.files.delete(driveId);
          return {};
        },
        driveAttach: async ({ driveId, vmId, readOnly }) => {
          this.#status(vmId).attached.push({ driveId, readOnly });
          return this.#status(vmId);
        },
        driveDetach: async ({ driveId, vmId }) => {
          const vm = this.#status(vmId);
          vm.attached = vm.attached.filter((one) => one.driveId !== driveId);
          return vm;
        },
        driveResize: async ({ driveId, sizeBytes }) => Object.assign(this.#file(driveId), { sizeBytes }),
        driveCheck: async ({ repair }, context) => {
          await this.#work('drive.check', context);
          const state = this.damaged ? ('damaged' as const) : ('good' as const);
          return { state, leakedClusters: 0, corruptions: this.damaged ? 2 : 0, repaired: repair };
        },
        driveConvert: async ({ driveId, format }, context) => {
          await this.#work('drive.convert', context);
          return Object.assign(this.#file(driveId), { format });
        },
        isoList: async () => ({ isos: ISOS }),
        isoAttach: async ({ isoId, vmId }) => {
          if (!ISOS.some((it) => it.isoId === isoId)) throw new VmcError('not-found', 'no such ISO image');
          const vm = this.#status(vmId);
          this.#vmOf(vmId)?.isos.set(isoId, { isoId, state: 'attached', sizeBytes: 1 });
          return Object.assign(vm, { isos: [...(vm.isos ?? []), isoId] });
        },
        isoEject: async ({ isoId, vmId }) => {
          const vm = this.#status(vmId);
          const isos = this.#vmOf(vmId)?.isos;
          if (isos?.get(isoId)?.state === 'mounted') throw new VmcError('busy', 'it is still mounted');
          isos?.delete(isoId);
          return Object.assign(vm, { isos: vm.isos?.filter((it) => it !== isoId) });
        },
        snapshotCreate: async ({ snapshotId, driveId, kind, target }, context) => {
          await this.#work('snapshot.create', context, 'preparing');
          await this.#work('snapshot.copy', context, SNAPSHOT_COPYING);
          const parent =
            kind === 'full' ? undefined : [...this.snapshots.values()].findLast((it) => it.driveId === driveId);
          const made: Snapshot = {
            ...{ snapshotId, driveId, target, sizeBytes: 4096, storedBytes: 1024, takenAt: Date.now() },
            ...(parent === undefined ? { kind: 'full' } : { kind: 'incremental', parentId: parent.snapshotId }),
            sha256: 'ab'.repeat(32),
          };
          this.snapshots.set(snapshotId, made);
          return made;
        },
        snapshotList: async ({ driveId }) => ({
          snapshots: [...this.snapshots.values()].filter((it) => driveId === undefined || it.driveId === driveId),
        }),
        snapshotVerify: async ({ snapshotId }, context) => {
          await this.#work('snapshot.verify', context);
          this.#snapshot(snapshotId);
          return this.damaged ? { ok: false, badId: snapshotId, problem: 'another hash' } : { ok: true };
        },
        snapshotRestore: async ({ snapshotId, newDriveId, format }, context) => {
          await this.#work('snapshot.restore', context);
          const { sizeBytes } = this.#snapshot(snapshotId);
          const made: DriveFile = { driveId: newDriveId, format, sizeBytes, allocatedBytes: 1024 };
          this.files.set(newDriveId, made);
          return made;
        },
        snapshotForget: async () => ({ forgotten: this.unfinished.splice(0) }),
        snapshotDelete: async ({ snapshotId }) => {
          this.snapshots.delete(snapshotId);
          return {};
        },
      },
      () => {},
      {},
    );
  }
}
