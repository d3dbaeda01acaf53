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
import { accessTo } from './drive-access.ts';
import { mayReach } from './reach.ts';

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
    ...troubleOf(vm, links),
    ready: presence.isReady(vm.vmId),
    ...(vm.identity === null ? {} : { identity: identityOf({ identity: vm.identity }) }),
    createdAt: vm.createdAt,
  };
}

const PAUSED = {
  'no-space':
    'It is paused: a pool of its host is full. It goes on by itself when there is space again: delete drives or snapshots there that nobody needs, trim other drives, or ask the host’s administrator for room.',
  'io-error':
    'It is paused: a disk of its host has failed. The administrator of the host finds why in its kernel log, and lets the VM go on.',
};

function troubleOf(vm: VmRow, links: HostLinks): Pick<VmView, 'problem' | 'pausedBecause'> {
  if (vm.problem !== null) return { problem: vm.problem };
  const status = links.vmStatus(vm.hostId, vm.vmId);
  const pausedBecause = stateOf(vm, links) === 'paused' ? status?.pausedBecause : undefined;
  return pausedBecause === undefined ? {} : { problem: PAUSED[pausedBecause], pausedBecause };
}

function stateOf(vm: VmRow, links: HostLinks): VmView['state'] {
  if (vm.phase === 'creating') return 'creating';
  if (!links.isLinked(vm.hostId)) return 'unknown';
  const status = links.vmStatus(vm.hostId, vm.vmId);
  if (status !== undefined) return status.state;
  return links.report(vm.hostId) === undefined ? 'unknown' : 'absent';
}

/** @param userId who asks, and has it: gets the keys that were wrapped for them, and of VMs sees those that they reach. */
export function describeDrive(drive: DriveRow, userId: string, store: Store): DriveView {
  const { driveKeys } = store;
  const isOwner = drive.ownerId === userId;
  const attachments = store.attachments
    .ofDrive(drive.driveId)
    .filter(({ vmId }) => isOwner || mayReach(store, userId, vmId))
    .map(({ vmId, readOnly }) => ({ vmId, readOnly }));
  const [first] = attachments;
  const wrappedKey = driveKeys.get(drive.driveId, userId);
  const nextWrappedKey = driveKeys.getNext(drive.driveId, userId);
  const restored = isOwner ? driveKeys.restored(drive.driveId) : [];
  const [old] = restored;
  const owner = store.accounts.get(drive.ownerId);
  return {
    driveId: drive.driveId,
    name: drive.name,
    ownerId: drive.ownerId,
    hostId: drive.hostId,
    format: drive.format,
    sizeBytes: drive.sizeBytes,
    state: drive.phase,
    ...(first === undefined ? {} : { attachedTo: first.vmId, readOnly: first.readOnly }),
    attachments,
    ...(wrappedKey === undefined ? {} : { wrappedKey: toBase64(wrappedKey) }),
    ...(nextWrappedKey === undefined ? {} : { nextWrappedKey: toBase64(nextWrappedKey) }),
    ...(old === undefined
      ? {}
      : { restored: { driveId: old.oldDriveId, wrappedKeys: restored.map((it) => toBase64(it.wrappedKey)) } }),
    ...(owner === undefined ? {} : { ownerName: owner.name }),
    access: accessTo(store, userId, drive) ?? 'ro',
    createdAt: drive.createdAt,
  };
}
