/** A drive out of a VM, in order: closed inside, taken by the host, seen gone. */
import { driveCareMethods } from '../../shared/api/drive-care.ts';
import { VmcError } from '../../shared/errors.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { withControl } from '../channel.ts';
import type { Control } from '../control.ts';
import type { Session } from '../session.ts';
import { isUp } from './find.ts';
import { callVm, statusInVm } from './in-vm.ts';
import { closeDrive } from './inside-commands.ts';

const GONE_SECONDS = 30;

interface NamedDrive {
  driveId: string;
  /** For the message. */
  name: string;
}

/** Whatever holds the drive in the VM ends it there, before the host takes the disk away. @param atHost that. */
export async function detachInOrder<T>(
  session: Session,
  vm: Vm,
  drive: NamedDrive,
  atHost: () => Promise<T>,
): Promise<T> {
  const { driveId } = drive;
  if (!isUp(vm)) return atHost();
  return withControl(session, vm, async (rpc) => {
    const { state } = await statusInVm(session, rpc, driveId);
    if (state !== 'absent') await closeDrive(session, rpc, driveId, true); // also a closed one: nobody is to open it now
    const detached = await atHost();
    await seeItGone(session, rpc, drive, vm.name);
    return detached;
  });
}

async function seeItGone(session: Session, rpc: Control, { driveId, name }: NamedDrive, vmName: string): Promise<void> {
  const params = { driveId, seconds: GONE_SECONDS };
  const { gone } = await callVm(session, rpc, driveCareMethods.driveWaitGone, params);
  if (!gone)
    throw new VmcError(
      'timeout',
      `The host says that ${name} is detached, but the VM ${vmName} still has its device after ${GONE_SECONDS} s.`,
      'It is closed, so nothing is lost. Attach it elsewhere only once connect drive info and the host agree.',
    );
}
