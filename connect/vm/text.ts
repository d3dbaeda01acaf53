/** VMs as text and as JSON. */
import { table } from '../../shared/cli/program.ts';
import { fingerprint } from '../../shared/identity/fingerprint.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import type { KnownVms } from '../known-vms.ts';

/** The public keys as the fingerprint that people compare. */
export function shownVm({ identity, ...vm }: Vm) {
  return { ...vm, ...(identity === undefined ? {} : { fingerprint: fingerprint(identity.ed25519) }) };
}
export type ShownVm = ReturnType<typeof shownVm>;

const BECAUSE = { 'no-space': 'pool full', 'io-error': 'disk failed' } as const;

export const vmState = ({ state, pausedBecause }: Pick<ShownVm, 'state' | 'pausedBecause'>): string =>
  pausedBecause === undefined ? state : `${state}: ${BECAUSE[pausedBecause]}`;

export function vmTable(vms: readonly ShownVm[]): string {
  const rows = vms.map((vm) => [
    vm.name,
    vm.vmId,
    vmState(vm),
    vm.ready ? 'yes' : 'no',
    String(vm.cores),
    `${vm.memoryMiB} MiB`,
    vm.image,
    vm.problem ?? '',
  ]);
  return table([['NAME', 'ID', 'STATE', 'READY', 'CORES', 'MEMORY', 'IMAGE', ''], ...rows]);
}

/** How this device stands to the VM's key. */
export function pinState(known: KnownVms, vm: ShownVm): 'not met' | 'pinned' | 'CHANGED' {
  const pinned = known[vm.vmId]?.fingerprint;
  if (pinned === undefined) return 'not met';
  return vm.fingerprint === undefined || pinned === vm.fingerprint ? 'pinned' : 'CHANGED';
}

export function vmDetails(vm: ShownVm & { pin: string }): string {
  return table([
    ['name', vm.name],
    ['id', vm.vmId],
    ['state', `${vmState(vm)}${vm.ready ? ', ready' : ''}`],
    ...(vm.problem === undefined ? [] : [['problem', vm.problem]]),
    ['host', vm.hostId],
    ['image', vm.image],
    ['hardware', `${vm.cores} cores, ${vm.memoryMiB} MiB`],
    ['fingerprint', vm.fingerprint ?? 'not enrolled yet'],
    ['this device', vm.pin],
    ['made', new Date(vm.createdAt).toISOString()],
  ]);
}
