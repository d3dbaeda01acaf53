/** Drives: making, attaching, detaching, deleting, and their wrapped keys. */
import { agentMethods } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Handlers } from '../rest/handler.ts';
import type { Attachment } from '../store/attachments.ts';
import type { DriveRow } from '../store/drives.ts';
import { makeId } from '../store/hashes.ts';
import type { VmRow } from '../store/vms.ts';
import { driveKey, type MachineDeps, ownDrive, ownVm, vmKey } from './deps.ts';
import { describeDrive } from './describe.ts';
import { pickHostForDrive } from './pick-host.ts';
import { settleAttachments } from './settle.ts';
import { ignoreAbsent } from './vm-handlers.ts';

/** A guest that boots or is busy takes its time to let a disk go. */
const DETACH_TIMEOUT_MS = 300_000;

type DriveHandlers = Pick<
  Handlers,
  | 'driveCreate'
  | 'driveList'
  | 'driveGet'
  | 'drivePutKey'
  | 'driveUsage'
  | 'driveAttach'
  | 'driveDetach'
  | 'driveDelete'
>;

export function driveHandlers(deps: MachineDeps): DriveHandlers {
  const { store, links, mutex, now } = deps;
  return {
    async driveCreate({ body: { name, sizeBytes, format, hostId: asked } }, request) {
      const { userId } = request.account;
      if (store.drives.countOf(userId) >= deps.limits.drivesPerUser)
        throw new VmcError('limit', `You have ${deps.limits.drivesPerUser} drives, and may not have more.`);
      const { hostId } = pickHostForDrive(store, links, asked, userId);
      const driveId = makeId('drv', 8);
      request.target = driveId;
      await mutex.run(driveKey(driveId), async () => {
        store.drives.add({ driveId, name, ownerId: userId, hostId, format, sizeBytes, createdAt: now() });
        try {
          await links.call(hostId, agentMethods.driveCreate, { driveId, format, sizeBytes });
          store.drives.setPhase(driveId, 'made');
        } catch (error) {
          await removeHalfMade(deps, hostId, driveId);
          throw error;
        }
      });
      return describeDrive(ownDrive(store, request.account, driveId), userId, store);
    },

    async driveList(_input, { account: { userId } }) {
      return { drives: store.drives.ownedBy(userId).map((drive) => describeDrive(drive, userId, store)) };
    },

    async driveGet({ params }, { account }) {
      return describeDrive(ownDrive(store, account, params.driveId), account.userId, store);
    },

    async drivePutKey({ params: { driveId }, body: { wrappedKey } }, { account }) {
      ownDrive(store, account, driveId);
      if (!store.driveKeys.put(driveId, account.userId, new Uint8Array(Buffer.from(wrappedKey, 'base64'))))
        throw new VmcError(
          'already-exists',
          'Another key is stored for this drive already, and it is not replaced: the data would be lost.',
          'Make a new drive, or open this one with the key it has.',
        );
      return {};
    },

    async driveUsage({ params: { driveId } }, { account }) {
      const { hostId } = ownDrive(store, account, driveId);
      const { sizeBytes, allocatedBytes } = await links.call(hostId, agentMethods.driveInfo, { driveId });
      return { sizeBytes, allocatedBytes };
    },

    async driveAttach({ params: { driveId }, body: { vmId, readOnly } }, { account }) {
      await mutex.run([driveKey(driveId), vmKey(vmId)], async () => {
        const drive = ownDrive(store, account, driveId);
        const vm = ownVm(store, account, vmId);
        checkFit(drive, vm);
        const inTheWay = store.attachments.reserve(driveId, vmId, readOnly);
        if (inTheWay !== undefined) throw alreadyAttached(drive, inTheWay, store.vms.get(inTheWay.vmId));
        await settlingOnFailure(deps, vm, async () => {
          links.learn(vm.hostId, await links.call(vm.hostId, agentMethods.driveAttach, { driveId, vmId, readOnly }));
          store.attachments.confirm(driveId, vmId, readOnly);
        });
      });
      return describeDrive(ownDrive(store, account, driveId), account.userId, store);
    },

    async driveDetach({ params: { driveId }, body }, { account }) {
      ownDrive(store, account, driveId);
      const { vmId } = chooseAttachment(store.attachments.ofDrive(driveId), body.vmId);
      await mutex.run([driveKey(driveId), vmKey(vmId)], async () => {
        const vm = store.vms.get(vmId);
        if (vm === undefined || !store.attachments.ofVm(vmId).some((it) => it.driveId === driveId)) return;
        store.attachments.setPhase(driveId, vmId, 'detaching');
        await settlingOnFailure(deps, vm, async () => {
          const options = { timeoutMs: DETACH_TIMEOUT_MS };
          links.learn(vm.hostId, await links.call(vm.hostId, agentMethods.driveDetach, { driveId, vmId }, options));
          store.attachments.remove(driveId, vmId);
        });
      });
      return describeDrive(ownDrive(store, account, driveId), account.userId, store);
    },

    async driveDelete({ params: { driveId }, body: { confirm } }, { account }) {
      if (confirm !== driveId)
        throw new VmcError('bad-request', 'The drive to delete is not the one that was confirmed.');
      await mutex.run(driveKey(driveId), async () => {
        const drive = ownDrive(store, account, driveId);
        const [attached] = store.attachments.ofDrive(driveId);
        if (attached !== undefined) throw alreadyAttached(drive, attached, store.vms.get(attached.vmId));
        await ignoreAbsent(links.call(drive.hostId, agentMethods.driveDelete, { driveId }));
        store.drives.remove(driveId);
      });
      return {};
    },
  };
}

/** Nothing half made stays behind; what cannot be removed now stays listed, to be deleted later. */
async function removeHalfMade({ store, links, log }: MachineDeps, hostId: string, driveId: string): Promise<void> {
  try {
    await ignoreAbsent(links.call(hostId, agentMethods.driveDelete, { driveId }));
    store.drives.remove(driveId);
  } catch {
    store.drives.setPhase(driveId, 'failed');
    log.warn('drive half made', { driveId, hostId });
  }
}

/** After a failure the host is asked what is so; if it cannot be, its next report settles it. */
async function settlingOnFailure(deps: MachineDeps, vm: VmRow, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await settleAttachments(deps, vm).catch(() => {});
    throw error;
  }
}

function checkFit(drive: DriveRow, vm: VmRow): void {
  if (drive.phase !== 'made')
    throw new VmcError('wrong-state', `The drive ${drive.name} was not made completely.`, 'Delete it.');
  if (vm.phase !== 'made')
    throw new VmcError('wrong-state', `The VM ${vm.name} was not made completely.`, 'Delete it and make it again.');
  if (drive.hostId !== vm.hostId)
    throw new VmcError(
      'wrong-state',
      `The drive ${drive.name} is on host ${drive.hostId} and the VM ${vm.name} on ${vm.hostId}.`,
      `Make the drive on the VM's host: --host ${vm.hostId}`,
    );
}

function alreadyAttached(drive: DriveRow, { vmId, readOnly }: Attachment, vm: VmRow | undefined): VmcError {
  return new VmcError(
    'busy',
    `The drive ${drive.name} is attached to the VM ${vm?.name ?? vmId} ${readOnly ? 'read-only' : 'read-write'}.`,
    'Close it there and detach it first.',
  );
}

function chooseAttachment(attachments: Attachment[], vmId: string | undefined): Attachment {
  const [only, ...others] = vmId === undefined ? attachments : attachments.filter((it) => it.vmId === vmId);
  if (only === undefined) throw new VmcError('wrong-state', 'The drive is not attached.');
  if (others.length > 0)
    throw new VmcError('bad-request', 'The drive is attached to several VMs.', 'Say from which one to detach it.');
  return only;
}
