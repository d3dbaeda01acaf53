/**
 * Attachments as the host has them. The backend may have stopped, or lost the host, between asking and being answered;
 * people may have used the host's own CLI. The host's fresh word settles it, under the VM's lock.
 */
import { agentMethods, type HostReport, type VmStatus } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import { errorFields } from '../../shared/log.ts';
import type { VmRow } from '../store/vms.ts';
import { type MachineDeps, vmKey } from './deps.ts';
import { settleFiles } from './settle-files.ts';

/** Asks the host and follows it. The caller holds the VM's lock. @throws what the agent answers. */
export async function settleAttachments(deps: MachineDeps, { hostId, vmId }: VmRow): Promise<void> {
  const { store, links } = deps;
  const status = await freshStatus(deps, hostId, vmId);
  links.learn(hostId, status);
  const there = new Map(status.attached.map((it) => [it.driveId, it]));
  for (const { driveId, phase } of store.attachments.ofVm(vmId)) {
    // A domain that is not there tells nothing of what belongs to it.
    if (!there.has(driveId) && (status.state !== 'absent' || phase !== 'attached'))
      store.attachments.remove(driveId, vmId);
  }
  for (const { driveId, readOnly } of there.values())
    if (isCredible(deps, hostId, driveId, vmId)) store.attachments.confirm(driveId, vmId, readOnly);
}

/**
 * A host's word counts for its own drives, and for those of a shared pool that were to be attached to this VM: it could block
 * everybody else's by claiming them.
 */
function isCredible({ store }: MachineDeps, hostId: string, driveId: string, vmId: string): boolean {
  const drive = store.drives.get(driveId);
  return drive?.hostId === hostId || store.attachments.ofVm(vmId).some((it) => it.driveId === driveId);
}

async function freshStatus({ links }: MachineDeps, hostId: string, vmId: string): Promise<VmStatus> {
  try {
    return await links.call(hostId, agentMethods.vmStatus, { vmId });
  } catch (error) {
    if (error instanceof VmcError && error.code === 'not-found') return { vmId, state: 'absent', attached: [] };
    throw error;
  }
}

/** Compares each report with what should be, and settles what differs, one VM at a time. */
export class Settler {
  readonly #deps: MachineDeps;
  /** Hosts being settled now: the next report comes soon enough. */
  readonly #busy = new Map<string, Promise<void>>();

  constructor(deps: MachineDeps) {
    this.#deps = deps;
  }

  onReport(hostId: string, report: HostReport): void {
    if (!report.libvirt.ok || this.#busy.has(hostId)) return;
    const work = this.#settleHost(hostId, report)
      .catch((error) => this.#deps.log.warn('attachments not settled', { hostId, ...errorFields(error) }))
      .finally(() => this.#busy.delete(hostId));
    this.#busy.set(hostId, work);
  }

  /** Resolves when nothing is being settled. */
  async idle(): Promise<void> {
    await Promise.all(this.#busy.values());
  }

  async #settleHost(hostId: string, report: HostReport): Promise<void> {
    const reported = new Map(report.vms.map((vm) => [vm.vmId, vm]));
    for (const vm of this.#deps.store.vms.onHost(hostId)) await this.#settle(vm, reported.get(vm.vmId));
    await settleFiles(this.#deps, hostId);
  }

  async #settle(vm: VmRow, status: VmStatus | undefined): Promise<void> {
    const { store, mutex, log, now } = this.#deps;
    if (mutex.isBusy(vmKey(vm.vmId))) return; // whoever works on it knows better
    // A creation whose answer was lost: running and forwarded is all that it was to become.
    if (vm.phase === 'creating' && status?.state === 'running' && status.hostPort !== undefined)
      store.vms.setMade(vm.vmId);
    if (!this.#differs(vm, status)) return;
    log.warn('attachments differ from the host: settling', { vmId: vm.vmId });
    await mutex.run(vmKey(vm.vmId), () => settleAttachments(this.#deps, vm));
    const target = vm.vmId;
    store.audit.add({ at: now(), actor: vm.hostId, action: 'attachments.settle', target, result: 'ok' });
  }

  #differs({ vmId, hostId }: VmRow, status: VmStatus | undefined): boolean {
    const { store } = this.#deps;
    const wanted = store.attachments.ofVm(vmId);
    if (wanted.some((it) => it.phase !== 'attached')) return true;
    if (status === undefined || status.state === 'absent') return false;
    const text = (it: { driveId: string; readOnly: boolean }) => `${it.driveId} ${it.readOnly}`;
    const known = status.attached.filter((it) => isCredible(this.#deps, hostId, it.driveId, vmId));
    return wanted.map(text).sort().join() !== known.map(text).sort().join();
  }
}
