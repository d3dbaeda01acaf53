/** The drives of a VM, for the VM's owner: others may attach theirs to it, and need not be there to take them back. */
import { VmcError } from '../../shared/errors.ts';
import type { vmDriveRoutes } from '../../shared/rest-api/vm-drives.ts';
import type { Handlers } from '../rest/handler.ts';
import { type MachineDeps, ownVm } from './deps.ts';
import { detachFrom } from './drive-handlers.ts';

export function vmDriveHandlers(deps: MachineDeps): Pick<Handlers, keyof typeof vmDriveRoutes> {
  const { store } = deps;
  return {
    async vmDriveList({ params: { vmId } }, { account }) {
      ownVm(store, account, vmId);
      const drives = store.attachments.ofVm(vmId).flatMap(({ driveId, readOnly }) => {
        const drive = store.drives.get(driveId);
        if (drive === undefined) return [];
        const owner = store.accounts.get(drive.ownerId);
        return [{ driveId, readOnly, ownerId: drive.ownerId, ...(owner && { ownerName: owner.name }) }];
      });
      return { drives };
    },

    async vmDriveDetach({ params: { vmId, driveId } }, request) {
      const { account } = request;
      const { name } = ownVm(store, account, vmId);
      request.target = `${vmId} ${driveId}`;
      if (!store.attachments.ofVm(vmId).some((it) => it.driveId === driveId))
        throw new VmcError('not-found', `The VM ${name} has no drive ${driveId}.`, `connect vm drive list ${name}`);
      await detachFrom(deps, driveId, vmId, () => ownVm(store, account, vmId));
      return {};
    },
  };
}
