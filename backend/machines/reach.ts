/** Whose VMs can be reached by whom. It opens the way to the VM's door and no more: the VM itself asks who is there (C3). */
import type { Store } from '../store/store.ts';

/** Its owner, and the people who were added to it. Administrators do not. */
export function mayReach({ vms, vmPeople }: Pick<Store, 'vms' | 'vmPeople'>, userId: string, vmId: string): boolean {
  return vms.get(vmId)?.ownerId === userId || vmPeople.get(vmId, userId) !== undefined;
}
