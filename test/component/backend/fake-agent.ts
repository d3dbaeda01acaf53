/** A fake host agent: `agentMethods` in memory, over a real link. What it pretends is a host that never fails unless told. */
import {
  agentMethods,
  HOST_REPORT,
  type HostReport,
  type VmSpec,
  type VmStatus,
} from '../../../shared/agent-api/index.ts';
import { linkPipe } from '../../../shared/agent-api/link-pipe.ts';
import type { Forgotten, Snapshot } from '../../../shared/agent-api/snapshots.ts';
import type { BackendClient } from '../../../shared/backend-client/client.ts';
import type { Bootstrap } from '../../../shared/bootstrap.ts';
import { webSocketTransport } from '../../../shared/channel/websocket-transport.ts';
import { VmcError } from '../../../shared/errors.ts';
import { generateIdentity, type Identity } from '../../../shared/identity/identity.ts';
import { dispatcher } from '../../../shared/rpc/dispatch.ts';
import type { CallContext, Implementation } from '../../../shared/rpc/method.ts';
import { RpcPeer } from '../../../shared/rpc/peer.ts';

export class FakeAgent {
  readonly identity: Identity = generateIdentity();
  readonly vms = new Map<string, VmStatus>();
  readonly drives = new Map<string, { format: 'qcow2' | 'raw'; sizeBytes: number }>();
  readonly snapshots = new Map<string, Snapshot>();
  /** What `snapshot.forget` ends. */
  unfinished: Forgotten[] = [];
  /** ISO images by id. */
  readonly isos = new Map<string, { name: string; sizeBytes: number }>();
  readonly specs: { spec: VmSpec; bootstrap: Bootstrap }[] = [];
  /** Method name → what its next call throws, before it does anything. */
  readonly failNext = new Map<string, Error>();
  /** Method name → awaited before the method does anything. */
  readonly holdNext = new Map<string, Promise<void>>();
  /** Method name → the link is cut after the work is done, before the answer. */
  readonly cutNext = new Set<string>();
  /** Method name → it tells of progress and goes on only when this is resolved; told to stop, it leaves nothing and says so. */
  readonly workNext = new Map<string, Promise<void>>();
  readonly calls: string[] = [];
  /** What came with them. */
  readonly asked: { method: string; params: unknown }[] = [];
  /** Of the folder in which its drives are: another host that says the same shares it. */
  poolId: string | undefined;
  /** Every VM is forwarded to this port. */
  hostPort = 1;
  memoryFreeBytes = 8e9;
  #peer: RpcPeer | undefined;
  #cut: (() => void) | undefined;

  async link(client: BackendClient, hostId: string): Promise<void> {
    const socket = await client.openHostLink(this.identity, hostId);
    const handle = dispatcher(agentMethods, this.#methods(), () => {}, {});
    this.#peer = new RpcPeer(linkPipe(webSocketTransport(socket)), {
      handle: async (method, params, context) => {
        this.calls.push(method);
        this.asked.push({ method, params });
        const hold = this.holdNext.get(method);
        this.holdNext.delete(method);
        await hold;
        const failure = this.failNext.get(method);
        this.failNext.delete(method);
        if (failure !== undefined) throw failure;
        const result = await handle(method, params, context);
        if (this.cutNext.delete(method)) socket.terminate();
        return result;
      },
    });
    socket.resume();
    this.#cut = () => socket.terminate();
    await this.report();
  }

  unlink(): void {
    this.#cut?.();
  }

  async report(): Promise<void> {
    const report: HostReport = {
      version: '0',
      libvirt: { ok: true },
      utilisation: {
        cores: 2,
        load1: 0,
        memoryBytes: 16e9,
        memoryFreeBytes: this.memoryFreeBytes,
        pools: this.#pools(),
      },
      vms: [...this.vms.values()],
    };
    await this.#peer?.notify(HOST_REPORT, report);
  }

  vm(vmId: string): VmStatus {
    const vm = this.vms.get(vmId);
    if (vm === undefined) throw new VmcError('not-found', `There is no VM ${vmId} here.`);
    return vm;
  }

  #pools() {
    return this.poolId === undefined ? [] : [{ name: 'drives', id: this.poolId, sizeBytes: 1e12, freeBytes: 1e12 }];
  }

  async #work(method: string, { progress, signal }: CallContext): Promise<void> {
    const done = this.workNext.get(method);
    if (done === undefined) return;
    this.workNext.delete(method);
    progress({ step: 'copying', done: 1, total: 10, unit: 'bytes' });
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      void done.then(resolve);
    });
  }

  #drive(driveId: string) {
    const drive = this.drives.get(driveId);
    if (drive === undefined) throw new VmcError('not-found', `There is no drive ${driveId} here.`);
    return { ...drive, driveId, allocatedBytes: 200_704 };
  }

  #snapshot(snapshotId: string): Snapshot {
    const snapshot = this.snapshots.get(snapshotId);
    if (snapshot === undefined) throw new VmcError('not-found', `There is no snapshot ${snapshotId} here.`);
    return snapshot;
  }

  #methods(): Implementation<typeof agentMethods, object> {
    return {
      vmCreate: async ({ spec, bootstrap }) => {
        this.specs.push({ spec, bootstrap });
        const vm: VmStatus = { vmId: spec.vmId, state: 'running', hostPort: this.hostPort, attached: [] };
        this.vms.set(spec.vmId, vm);
        return vm;
      },
      vmStart: async ({ vmId }) => Object.assign(this.vm(vmId), { state: 'running' }),
      vmShutdown: async ({ vmId }) => Object.assign(this.vm(vmId), { state: 'off' }),
      vmDelete: async ({ vmId }) => {
        if (this.vm(vmId).state !== 'off') throw new VmcError('wrong-state', 'It is running.', 'Shut it down.');
        this.vms.delete(vmId);
        return {};
      },
      vmStatus: async ({ vmId }) => this.vm(vmId),
      driveCreate: async ({ driveId, format, sizeBytes }, context) => {
        await this.#work('drive.create', context);
        this.drives.set(driveId, { format, sizeBytes });
        return this.#drive(driveId);
      },
      driveInfo: async ({ driveId }) => this.#drive(driveId),
      driveDelete: async ({ driveId }) => {
        this.#drive(driveId);
        this.drives.delete(driveId);
        return {};
      },
      driveAttach: async ({ driveId, vmId, readOnly }) => {
        this.vm(vmId).attached.push({ driveId, readOnly });
        return this.vm(vmId);
      },
      driveDetach: async ({ driveId, vmId }) => {
        const vm = this.vm(vmId);
        vm.attached = vm.attached.filter((it) => it.driveId !== driveId);
        return vm;
      },
      driveResize: async ({ driveId, sizeBytes }) => {
        this.drives.set(driveId, { ...this.#drive(driveId), sizeBytes });
        return this.#drive(driveId);
      },
      driveCheck: async ({ driveId, repair }, context) => {
        await this.#work('drive.check', context);
        this.#drive(driveId);
        return { state: 'good', leakedClusters: 0, corruptions: 0, repaired: repair };
      },
      driveConvert: async ({ driveId, format }, context) => {
        await this.#work('drive.convert', context);
        this.drives.set(driveId, { ...this.#drive(driveId), format });
        return this.#drive(driveId);
      },
      snapshotCreate: async ({ snapshotId, driveId, kind, target }, context) => {
        await this.#work('snapshot.create', context);
        const { sizeBytes } = this.#drive(driveId);
        const made = { snapshotId, driveId, target, sizeBytes, storedBytes: 1, sha256: 'a'.repeat(64), takenAt: 1 };
        this.snapshots.set(snapshotId, { ...made, kind: kind === 'incremental' ? kind : 'full' });
        return this.#snapshot(snapshotId);
      },
      snapshotList: async ({ driveId, snapshotId }) => ({
        snapshots: [...this.snapshots.values()].filter(
          (it) =>
            (driveId === undefined || it.driveId === driveId) &&
            (snapshotId === undefined || it.snapshotId === snapshotId),
        ),
      }),
      snapshotVerify: async ({ snapshotId }, context) => {
        await this.#work('snapshot.verify', context);
        this.#snapshot(snapshotId);
        return { ok: true };
      },
      snapshotRestore: async ({ snapshotId, newDriveId, format }, context) => {
        await this.#work('snapshot.restore', context);
        this.drives.set(newDriveId, { format, sizeBytes: this.#snapshot(snapshotId).sizeBytes });
        return this.#drive(newDriveId);
      },
      snapshotDelete: async ({ snapshotId }) => {
        this.#snapshot(snapshotId);
        this.snapshots.delete(snapshotId);
        return {};
      },
      snapshotForget: async ({ driveId }) => {
        const forgotten = this.unfinished.filter((it) => this.snapshots.get(it.snapshotId)?.driveId === driveId);
        for (const { snapshotId, doing } of forgotten) if (doing === 'deleting') this.snapshots.delete(snapshotId);
        return { forgotten };
      },
      isoList: async () => ({ isos: [...this.isos].map(([isoId, iso]) => ({ isoId, ...iso })) }),
      isoAttach: async ({ isoId, vmId }) => {
        if (!this.isos.has(isoId)) throw new VmcError('not-found', `There is no ISO image ${isoId} here.`);
        const vm = this.vm(vmId);
        return Object.assign(vm, { isos: [...new Set([...(vm.isos ?? []), isoId])] });
      },
      isoEject: async ({ isoId, vmId }) => {
        const vm = this.vm(vmId);
        return Object.assign(vm, { isos: vm.isos?.filter((it) => it !== isoId) });
      },
    };
  }
}
