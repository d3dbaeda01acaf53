/** The backend's requests, one line each. What happens then is in the features. */
import { agentMethods } from '../shared/agent-api/index.ts';
import { dispatcher } from '../shared/rpc/dispatch.ts';
import type { Implementation } from '../shared/rpc/method.ts';
import type { Handle } from '../shared/rpc/peer.ts';
import { checkDrive } from './drives/check.ts';
import { convertDrive } from './drives/convert.ts';
import { deleteDrive } from './drives/delete.ts';
import { driveInfo } from './drives/info.ts';
import { createDrive } from './drives/make.ts';
import { resizeDrive } from './drives/resize.ts';
import type { Host } from './host.ts';
import { listIsos } from './isos/isos.ts';
import { createSnapshot } from './snapshots/create.ts';
import { deleteSnapshot } from './snapshots/delete.ts';
import { forgetUnfinished } from './snapshots/forget.ts';
import { listSnapshots } from './snapshots/records.ts';
import { restoreSnapshot } from './snapshots/restore.ts';
import { verifySnapshot } from './snapshots/verify.ts';
import { attachDrive, detachDrive } from './vms/attach.ts';
import { createVm } from './vms/create.ts';
import { deleteVm } from './vms/delete.ts';
import { attachIso, ejectIso } from './vms/isos.ts';
import { shutdownVm, startVm } from './vms/power.ts';
import { vmStatus } from './vms/status.ts';

/** Requests that change nothing, after which there is nothing to report. */
const QUIET: ReadonlySet<string> = new Set(
  [
    agentMethods.vmStatus,
    agentMethods.driveInfo,
    agentMethods.isoList,
    agentMethods.snapshotList,
    agentMethods.snapshotVerify,
  ].map(({ name }) => name),
);

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
    driveCreate: (request, { signal, progress }) => createDrive(host, request, { signal, progress }),
    driveInfo: ({ driveId }) => driveInfo(host, driveId),
    driveDelete: async ({ driveId }) => {
      await deleteDrive(host, driveId);
      return {};
    },
    driveAttach: ({ driveId, vmId, readOnly, format, sizeBytes }) =>
      attachDrive(host, driveId, vmId, readOnly, format === undefined ? undefined : { format, sizeBytes }),
    driveDetach: ({ driveId, vmId }) => detachDrive(host, driveId, vmId),
    driveResize: ({ driveId, sizeBytes }) => resizeDrive(host, driveId, sizeBytes),
    driveCheck: ({ driveId, repair }, { signal, progress }) => checkDrive(host, driveId, repair, { signal, progress }),
    driveConvert: ({ driveId, format }, { signal, progress }) =>
      convertDrive(host, driveId, format, { signal, progress }),
    isoList: async () => ({ isos: await listIsos(host) }),
    isoAttach: ({ isoId, vmId }) => attachIso(host, isoId, vmId),
    isoEject: ({ isoId, vmId }) => ejectIso(host, isoId, vmId),
    snapshotCreate: (request, { signal, progress }) => createSnapshot(host, request, { signal, progress }),
    snapshotList: async ({ driveId, snapshotId }) => {
      const snapshots = await listSnapshots(host, driveId);
      return { snapshots: snapshots.filter((it) => snapshotId === undefined || it.snapshotId === snapshotId) };
    },
    snapshotVerify: ({ snapshotId }, { signal, progress }) => verifySnapshot(host, snapshotId, { signal, progress }),
    snapshotRestore: (request, { signal, progress }) => restoreSnapshot(host, request, { signal, progress }),
    snapshotDelete: async ({ snapshotId }) => {
      await deleteSnapshot(host, snapshotId);
      return {};
    },
    snapshotForget: async ({ driveId }) => ({ forgotten: await forgetUnfinished(host, driveId) }),
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
