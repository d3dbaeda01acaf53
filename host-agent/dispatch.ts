/** The backend's requests, one line each. What happens then is in the features. */
import { agentMethods } from '../shared/agent-api/index.ts';
import { dispatcher } from '../shared/rpc/dispatch.ts';
import type { Implementation } from '../shared/rpc/method.ts';
import type { Handle } from '../shared/rpc/peer.ts';
import { createDrive, deleteDrive, driveInfo } from './drives/drives.ts';
import type { Host } from './host.ts';
import { attachDrive, detachDrive } from './vms/attach.ts';
import { createVm } from './vms/create.ts';
import { deleteVm } from './vms/delete.ts';
import { shutdownVm, startVm } from './vms/power.ts';
import { vmStatus } from './vms/status.ts';

/** Requests that change nothing, after which there is nothing to report. */
const QUIET: ReadonlySet<string> = new Set([agentMethods.vmStatus.name, agentMethods.driveInfo.name]);

/** @param onRequest told of each request that ended, with the error if it failed. */
export function agentDispatcher(
  host: Host,
  onRequest: (method: string, changed: boolean, error: unknown) => void,
): Handle {
  const implementation: Implementation<typeof agentMethods, object> = {
    vmCreate: ({ spec, bootstrap }, { signal, progress }) => createVm(host, spec, bootstrap, { signal, progress }),
    vmStart: ({ vmId }) => startVm(host, vmId),
    vmShutdown: ({ vmId, waitSeconds, force }) => shutdownVm(host, vmId, waitSeconds, force),
    vmDelete: async ({ vmId }) => {
      await deleteVm(host, vmId); // that it was gone already is what the backend wants
      return {};
    },
    vmStatus: ({ vmId }) => vmStatus(host, vmId),
    driveCreate: (request) => createDrive(host, request),
    driveInfo: ({ driveId }) => driveInfo(host, driveId),
    driveDelete: async ({ driveId }) => {
      await deleteDrive(host, driveId);
      return {};
    },
    driveAttach: ({ driveId, vmId, readOnly }) => attachDrive(host, driveId, vmId, readOnly),
    driveDetach: ({ driveId, vmId }) => detachDrive(host, driveId, vmId),
  };
  // The backend may ask for all of it: that is who is at the other end of the link.
  const handle = dispatcher(agentMethods, implementation, () => {}, {});
  return async (method, params, context) => {
    try {
      const result = await handle(method, params, context);
      onRequest(method, !QUIET.has(method), undefined);
      return result;
    } catch (error) {
      onRequest(method, !QUIET.has(method), error);
      throw error;
    }
  };
}
