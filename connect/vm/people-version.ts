/**
 * The version of a VM's people only grows, and this device remembers the highest it has seen. A lower one means that an
 * old copy of the VM's state was put back: somebody who was removed since may be in again.
 */
import type { Vm } from '../../shared/rest-api/machines.ts';
import { note } from '../io.ts';
import { sawPeople } from '../known-vms.ts';
import type { Session } from '../session.ts';

/** Says so loudly when it went down. From then on the lower one counts: it is said once for each roll-back. */
export async function notePeopleVersion(session: Session, vm: Vm, version: number): Promise<void> {
  const highest = (await session.folder.knownVms())[vm.vmId]?.peopleVersion ?? 0;
  if (version === highest) return;
  if (version < highest)
    note(
      session.io,
      `WARNING: THE PEOPLE OF THE VM ${vm.name} WERE ROLLED BACK: this device has seen version ${highest}, now it is ${version}.\n` +
        `  Somebody who was removed may be in again. Look at: connect vm people list ${vm.name}`,
    );
  await session.folder.changeKnownVms((known) => sawPeople(known, vm.vmId, version, highest));
}
