/**
 * H9: what people delete is given back, on the host's own figures: each kind of file with each file system, after files were
 * deleted and after all of the drive was encrypted anew, which fills the file once.
 */
import type { Test } from 'tap';
import { table } from '../../../shared/cli/program.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

const MiB = 1024 ** 2;
const DRIVE_MIB = 352; // xfs wants 300 for itself, LUKS 16
const DATA_MIB = 96;

interface Trimmed {
  trimmedBytes: number;
  allocatedBefore: number;
  allocatedAfter: number;
}

export function reclaimCases(t: Test, { owner, vm }: VmSite): void {
  t.test('H9: the host gets back what is free, after deleting and after re-encrypting', async (t) => {
    const rows: string[][] = [];
    for (const format of ['qcow2', 'raw'])
      for (const fileSystem of ['ext4', 'xfs', 'btrfs']) {
        const name = `r-${format}-${fileSystem}`;
        const trim = () => owner.connect<Trimmed>(['drive', 'trim', name]);
        const { driveId } = await owner.connect<{ driveId: string }>([
          ...['drive', 'create', name, '--size', `${DRIVE_MIB}MiB`, '--format', format],
        ]);
        await owner.connect(['drive', 'attach', name, VM]);
        await owner.connect(['drive', 'format', name, '--fs', fileSystem]);
        await owner.connect(['drive', 'open', name]);
        await vm.request('POST', `/random?path=/mnt/${name}/data&mib=${DATA_MIB}`);
        await vm.request('DELETE', `/file?path=/mnt/${name}/data`);
        const deleted = await trim();
        rows.push([format, fileSystem, 'deleted', ...mebibytes(deleted)]);
        t.ok(deleted.allocatedBefore >= DATA_MIB * MiB, `${name}: ${DATA_MIB} MiB were written to the host's file`);
        t.ok(
          deleted.allocatedBefore - deleted.allocatedAfter >= 0.9 * DATA_MIB * MiB,
          `${name}: nine tenths of what was deleted came back`,
        );
        t.match(await owner.connect(['drive', 'reencrypt', name], { timeoutMs: 300_000 }), { reencrypted: 'done' });
        const anew = await trim();
        rows.push([format, fileSystem, 're-encrypted', ...mebibytes(anew)]);
        t.ok(anew.allocatedBefore >= 0.9 * DRIVE_MIB * MiB, `${name}: re-encryption wrote all of it`);
        t.ok(anew.allocatedAfter <= deleted.allocatedAfter + 8 * MiB, `${name}: and trim gave it back`);
        await owner.connect(['drive', 'detach', name]);
        await owner.connect(['drive', 'delete', name, '--confirm', driveId]);
      }
    t.comment(table([['file', 'file system', 'after', 'fstrim MiB', 'before MiB', 'after MiB'], ...rows]));
  });
}

const mebibytes = ({ trimmedBytes, allocatedBefore, allocatedAfter }: Trimmed): string[] =>
  [trimmedBytes, allocatedBefore, allocatedAfter].map((bytes) => (bytes / MiB).toFixed(1));
