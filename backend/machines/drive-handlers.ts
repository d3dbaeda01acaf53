/** Drives: making, listing, attaching, detaching, deleting. */
import { agentMethods } from '../../shared/agent-api/index.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Handlers } from '../rest/handler.ts';
import type { Account } from '../store/accounts.ts';
import type { Attachment } from '../store/attachments.ts';
import type { DriveRow } from '../store/drives.ts';
import { makeId } from '../store/hashes.ts';
import type { VmRow } from '../store/vms.ts';
import { driveKey, type MachineDeps, reachableVm, vmKey } from './deps.ts';
import { describeDrive } from './describe.ts';
import { type Access, ownDrive, requireMode, sharedDrive } from './drive-access.ts';
import { settleFile } from './drive-file.ts';
import { addDrive, makingFile } from './make-drive.ts';
import { pickHostForDrive } from './pick-host.ts';
import { mayReach } from './reach.ts';
import { settleAttachments } from './settle.ts';
import { sharePool } from './shared-pool.ts';
import { ignoreAbsent } from './vm-handlers.ts';

/** A guest that boots or is busy takes its time to let a disk go. */
const DETACH_TIMEOUT_MS = 300_000;
/** Others than its owner may attach drives to a VM, up to half of these. */
const MAX_PER_VM = 200;

type DriveHandlers = Pick<
  Handlers,
  'driveCreate' | 'driveList' | 'driveGet' | 'driveUsage' | 'driveAttach' | 'driveDetach' | 'driveDelete'
>;

export function driveHandlers(deps: MachineDeps): DriveHandlers {
  const { store, links, jobs } = deps;
  const describe = (account: Account, driveId: string) =>
    describeDrive(sharedDrive(store, account, driveId).drive, account.userId, store);
  return {
    async driveCreate({ body: { name, sizeBytes, format, allocation, hostId: asked } }, request) {
      const { account } = request;
      const { userId } = account;
      const { hostId } = pickHostForDrive(store, links, asked, userId);
      const driveId = makeId('drv', 8);
      request.target = driveId;
      const keys = [driveKey(driveId)];
      const prepare = () => addDrive(deps, { driveId, name, ownerId: userId, hostId, format, sizeBytes });
      const params = { driveId, format, sizeBytes, allocation };
      if (allocation === 'sparse') {
        prepare();
        const call = () => links.call(hostId, agentMethods.driveCreate, params);
        await jobs.whenIdle(keys, () => makingFile(deps, hostId, driveId, call));
        return describe(account, driveId);
      }
      const job = jobs.begin({
        kind: 'drive-create',
        userId,
        hostId,
        target: driveId,
        keys,
        prepare,
        work: (call) => makingFile(deps, hostId, driveId, () => call(agentMethods.driveCreate, params)),
      });
      return { ...describe(account, driveId), job };
    },

    async driveList(_input, { account: { userId } }) {
      const shared = store.driveShares.ofUser(userId).flatMap(({ driveId }) => store.drives.get(driveId) ?? []);
      const drives = [...store.drives.ownedBy(userId), ...shared];
      return { drives: drives.map((drive) => describeDrive(drive, userId, store)) };
    },

    async driveGet({ params }, { account }) {
      return describe(account, params.driveId);
    },

    async driveUsage({ params: { driveId } }, { account }) {
      const { hostId } = sharedDrive(store, account, driveId).drive;
      const { sizeBytes, allocatedBytes } = await links.call(hostId, agentMethods.driveInfo, { driveId });
      return { sizeBytes, allocatedBytes };
    },

    async driveAttach({ params: { driveId }, body: { vmId, readOnly } }, { account }) {
      const { drive, access } = sharedDrive(store, account, driveId);
      requireMode(drive, access, readOnly);
      reachableVm(store, account, vmId);
      await jobs.whenIdle([driveKey(driveId), vmKey(vmId)], async () => {
        await settleBeforeMove(deps, driveId, vmId);
        // Looked at again, and reserved, without a pause: what was taken back meanwhile is not given.
        const { drive, access } = sharedDrive(store, account, driveId);
        requireMode(drive, access, readOnly);
        const vm = reachableVm(store, account, vmId);
        checkFit(deps, drive, vm);
        const most = vm.ownerId === account.userId ? MAX_PER_VM : MAX_PER_VM / 2;
        if (store.attachments.ofVm(vmId).length >= most)
          throw new VmcError('limit', `The VM ${vm.name} has ${most} drives or more.`, 'Detach one.');
        const inTheWay = store.attachments.reserve(driveId, vmId, readOnly);
        if (inTheWay !== undefined) throw alreadyAttached(deps, account, drive, inTheWay);
        // Another host than the one that made the file has no record of it.
        const file = drive.hostId === vm.hostId ? {} : { format: drive.format, sizeBytes: drive.sizeBytes };
        await settlingOnFailure(deps, vm, async () => {
          const params = { driveId, vmId, readOnly, ...file };
          links.learn(vm.hostId, await links.call(vm.hostId, agentMethods.driveAttach, params));
          store.attachments.confirm(driveId, vmId, readOnly);
        });
      });
      return describe(account, driveId);
    },

    async driveDetach({ params: { driveId }, body }, { account }) {
      const { drive, access } = sharedDrive(store, account, driveId);
      const theirs = store.attachments
        .ofDrive(driveId)
        .filter(({ vmId }) => access === 'owner' || mayReach(store, account.userId, vmId));
      const { vmId, readOnly } = chooseAttachment(theirs, body.vmId);
      requireMode(drive, access, readOnly);
      await detachFrom(deps, driveId, vmId, (there) => requireMayDetach(deps, account, driveId, there));
      return describe(account, driveId);
    },

    async driveDelete({ params: { driveId }, body: { confirm } }, { account }) {
      if (confirm !== driveId)
        throw new VmcError('bad-request', 'The drive to delete is not the one that was confirmed.');
      ownDrive(store, account, driveId);
      await jobs.whenIdle(driveKey(driveId), async () => {
        const drive = ownDrive(store, account, driveId);
        requireDetached(deps, account, drive);
        store.drives.setUnsure(driveId);
        try {
          await ignoreAbsent(links.call(drive.hostId, agentMethods.driveDelete, { driveId }));
        } catch (error) {
          await settleFile(deps, drive).catch(() => {});
          throw error;
        }
        store.drives.remove(driveId);
      });
      return {};
    },
  };
}

/** Succeeds when it is not attached there any more. @param require looked at again under the locks: it throws who may not. */
export async function detachFrom(
  deps: MachineDeps,
  driveId: string,
  vmId: string,
  require: (there: Attachment) => unknown,
): Promise<void> {
  const { store, links, jobs } = deps;
  await jobs.whenIdle([driveKey(driveId), vmKey(vmId)], async () => {
    const vm = store.vms.get(vmId);
    const there = store.attachments.ofVm(vmId).find((it) => it.driveId === driveId);
    if (vm === undefined || there === undefined) return;
    require(there);
    store.attachments.setPhase(driveId, vmId, 'detaching');
    await settlingOnFailure(deps, vm, async () => {
      const options = { timeoutMs: DETACH_TIMEOUT_MS };
      links.learn(vm.hostId, await links.call(vm.hostId, agentMethods.driveDetach, { driveId, vmId }, options));
      store.attachments.remove(driveId, vmId);
    });
  });
}

/**
 * What was begun with its file and not answered, its own host ends: that would take the file from under another host.
 * The caller holds the drive's lock. @throws what the drive's host answers.
 */
async function settleBeforeMove(deps: MachineDeps, driveId: string, vmId: string): Promise<void> {
  const drive = deps.store.drives.get(driveId);
  if (drive?.unsure === 1 && drive.hostId !== deps.store.vms.get(vmId)?.hostId) await settleFile(deps, drive);
}

/** @throws VmcError 'busy'. */
export function requireDetached(deps: MachineDeps, account: Account, drive: DriveRow): void {
  const [attached] = deps.store.attachments.ofDrive(drive.driveId);
  if (attached !== undefined) throw alreadyAttached(deps, account, drive, attached);
}

/** @throws VmcError 'wrong-state'. */
export function requireMade(drive: DriveRow): void {
  if (drive.phase === 'made') return;
  throw drive.phase === 'creating'
    ? new VmcError('wrong-state', `The drive ${drive.name} is being made.`, 'Wait until it is.')
    : new VmcError('wrong-state', `The drive ${drive.name} was not made completely.`, 'Delete it.');
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

/** What they could attach: their access and their way to the VM may have changed since. */
function requireMayDetach({ store }: MachineDeps, account: Account, driveId: string, there: Attachment): void {
  const { drive, access }: { drive: DriveRow; access: Access } = sharedDrive(store, account, driveId);
  requireMode(drive, access, there.readOnly);
  if (access !== 'owner') reachableVm(store, account, there.vmId);
}

function checkFit({ links }: MachineDeps, drive: DriveRow, vm: VmRow): void {
  requireMade(drive);
  if (vm.phase !== 'made')
    throw new VmcError('wrong-state', `The VM ${vm.name} was not made completely.`, 'Delete it and make it again.');
  if (drive.hostId !== vm.hostId && !sharePool(links, drive.hostId, vm.hostId))
    throw new VmcError(
      'wrong-state',
      `The drive ${drive.name} is on host ${drive.hostId} and the VM ${vm.name} on ${vm.hostId}.`,
      `Make the drive on the VM's host: --host ${vm.hostId}`,
    );
}

function alreadyAttached(
  { store }: MachineDeps,
  { userId }: Account,
  drive: DriveRow,
  { vmId, readOnly }: Attachment,
): VmcError {
  const isTold = drive.ownerId === userId || mayReach(store, userId, vmId);
  const where = isTold ? `the VM ${store.vms.get(vmId)?.name ?? vmId}` : 'a VM that you do not reach';
  return new VmcError(
    'busy',
    `The drive ${drive.name} is attached to ${where} ${readOnly ? 'read-only' : 'read-write'}.`,
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
