/** Work on a drive inside a VM that it is attached to. */
import { type DriveStatus, driveMethods } from '../../shared/api/drive.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Drive, Vm } from '../../shared/rest-api/machines.ts';
import type { Method, ParamsIn, ResultOut } from '../../shared/rpc/method.ts';
import { withControl } from '../channel.ts';
import type { Control } from '../control.ts';
import { progressLine } from '../progress.ts';
import type { Session } from '../session.ts';
import { isUp, vmOfDrive } from './find.ts';

/** mkfs and fstrim of a large drive on a slow disk. */
export const LONG_WORK_MS = 30 * 60_000;
/** Re-encryption, and repair of a file system. */
export const LONGEST_WORK_MS = 14 * 24 * 3600_000;
const SHORT_WORK_MS = 120_000;
/** More than the backend itself waits for a host. */
export const HOST_WORK_MS = 330_000;

export interface Inside {
  rpc: Control;
  vm: Vm;
  /** The VM has it read-only. */
  readOnly: boolean;
}

export interface InsideOptions {
  /** Which VM, when several have the drive. */
  vm?: string | undefined;
  /** Then it must be a VM that the person has named on this device before. */
  sendsKey?: boolean;
}

/** @throws VmcError 'wrong-state' for a drive that is not attached, or to a VM that is off. */
export async function insideVm<T>(
  session: Session,
  drive: Drive,
  { vm: wanted, sendsKey = false }: InsideOptions,
  use: (inside: Inside) => Promise<T>,
): Promise<T> {
  const { vm, readOnly } = await vmOfDrive(session, drive, wanted);
  if (!isUp(vm)) throw new VmcError('wrong-state', `The VM ${vm.name} is ${vm.state}.`, `connect vm start ${vm.name}`);
  return withControl(session, vm, (rpc) => use({ rpc, vm, readOnly }), { refuseStrangers: sendsKey });
}

/** One request, with this command's Ctrl-C. */
export function callVm<M extends Method>(
  session: Session,
  rpc: Control,
  method: M,
  params: ParamsIn<M>,
  timeoutMs = SHORT_WORK_MS,
): Promise<ResultOut<M>> {
  return rpc.call(method, params, { signal: session.io.signal, timeoutMs });
}

/** The same for work that tells how far it is. */
export async function callVmWithProgress<M extends Method>(
  session: Session,
  rpc: Control,
  method: M,
  params: ParamsIn<M>,
  timeoutMs = LONG_WORK_MS,
): Promise<ResultOut<M>> {
  const line = progressLine(session.io);
  try {
    return await rpc.call(method, params, { signal: session.io.signal, timeoutMs, onProgress: line.show });
  } finally {
    line.end();
  }
}

export async function statusInVm(session: Session, rpc: Control, driveId: string): Promise<DriveStatus> {
  const { drives } = await callVm(session, rpc, driveMethods.driveList, {});
  return drives.find((it) => it.driveId === driveId) ?? { driveId, state: 'absent' };
}
