/** The VM in which drives are measured, with as many drives attached as are asked for. */
import { startVmSite, VM, type VmSite } from '../../test/system/support/vm-site.ts';
import { oncePerSite } from '../once-per-site.ts';
import { type Control, openControl } from './control.ts';

export interface BenchVm extends VmSite {
  control: Control;
  /** A new qcow2 drive of 1 GiB, attached and blank. */
  addDrive(name: string): Promise<BenchDrive>;
}

export interface BenchDrive {
  driveId: string;
  /** In the VM. */
  device: string;
}

export const benchVm = oncePerSite(async (site): Promise<BenchVm> => {
  site.note('starting a VM');
  const vmSite = await startVmSite(['fio']);
  site.undo.add('the VM', () => vmSite.end());
  const { owner, vm } = vmSite;
  return {
    ...vmSite,
    control: openControl(vmSite),
    async addDrive(name) {
      const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', name, '--size', '1GiB']);
      await owner.connect(['drive', 'attach', name, VM]);
      const link = `/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_${driveId}`;
      await vm.exec(['udevadm', 'wait', '--timeout', '30', link]);
      return { driveId, device: (await vm.exec(['readlink', '--canonicalize', link])).trim() };
    },
  };
});
