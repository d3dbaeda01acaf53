/** VMs and drives as people see them: what was asked for, joined with what hosts and relay say now. */
import type * as z from 'zod';
import { toBase64 } from '../../shared/names.ts';
import type { driveSchema, vmSchema } from '../../shared/rest-api/machines.ts';
import type { HostLinks } from '../hosts/links.ts';
import { identityOf } from '../store/accounts.ts';
import type { DriveRow } from '../store/drives.ts';
import type { Store } from '../store/store.ts';
import type { VmRow } from '../store/vms.ts';
import type { Presence } from '../tickets/presence.ts';

export type VmView = z.input<typeof vmSchema>;
export type DriveView = z.input<typeof driveSchema>;

export function describeVm(vm: VmRow, { links, presence }: { links: HostLinks; presence: Presence }): VmView {
  return {
    vmId: vm.vmId,
    name: vm.name,
    ownerId: vm.ownerId,
    hostId: vm.hostId,
    image: vm.image,
    cores: vm.cores,
    memoryMiB: vm.memoryMiB,
    state: stateOf(vm, links),
    ...(vm.problem === null ? {} : { problem: vm.problem }),
    ready: presence.isReady(vm.vmId),
    ...(vm.identity === null ? {} : { identity: identityOf({ identity: vm.identity }) }),
    createdAt: vm.createdAt,
  };
}

function stateOf(vm: VmRow, links: HostLinks): VmView['state'] {
  if (vm.phase === 'creating') return 'creating';
  if (!links.isLinked(vm.hostId)) return 'unknown';
  const status = links.vmStatus(vm.hostId, vm.vmId);
  if (status !== undefined) return status.state;
  return links.report(vm.hostId) === undefined ? 'unknown' : 'absent';
}

/** @param userId who asks: gets the key that was wrapped for them. */
export function describeDrive(drive: DriveRow, userId: string, store: Store): DriveView {
  const attachments = store.attachments.ofDrive(drive.driveId).map(({ vmId, readOnly }) => ({ vmId, readOnly }));
  const [first] = attachments;
  const wrappedKey = store.driveKeys.get(drive.driveId, userId);
  return {
    driveId: drive.driveId,
    name: drive.name,
    ownerId: drive.ownerId,
    hostId: drive.hostId,
    format: drive.format,
    sizeBytes: drive.sizeBytes,
    ...(first === undefined ? {} : { attachedTo: first.vmId, readOnly: first.readOnly }),
    attachments,
    ...(wrappedKey === undefined ? {} : { wrappedKey: toBase64(wrappedKey) }),
    createdAt: drive.createdAt,
  };
}
