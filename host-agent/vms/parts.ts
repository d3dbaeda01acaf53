/** The parts of a VM outside its record that making and deleting both handle. */
import { VmcError } from '../../shared/errors.ts';
import type { Host } from '../host.ts';
import { ensureReservations } from '../network/network.ts';

/** Undefines the domain; one that is not there is fine. The machine must be off. */
export async function dropDomain(host: Host, vmId: string): Promise<void> {
  try {
    await host.virsh.run(['undefine', vmId]);
  } catch (error) {
    if (!(error instanceof VmcError && error.code === 'not-found')) throw error;
  }
}

/** Makes libvirt's address reservations those of the records. @param leaving a VM that is no longer to have one. */
export function enforceReservations(host: Host, leaving?: string, fixed?: (what: string) => void): Promise<void> {
  return host.locks.hold(['reservations'], async () => {
    const wanted = (await host.vms.list())
      .filter((it) => it.spec.vmId !== leaving)
      .map((it) => ({ mac: it.mac, address: it.address, name: it.spec.vmId }));
    await ensureReservations(host.config, host.virsh, wanted, fixed);
  });
}
