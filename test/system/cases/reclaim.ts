/**
 * H9: what people delete is given back, on the host's own figures: each kind of file with each file system, after files were
 * deleted and after all of the drive was encrypted anew, which fills the file once.
 */
import type { Test } from 'tap';
import { humanBytes, table } from '../../../shared/cli/program.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

const MiB = 1024 ** 2;
const LUKS_MIB = 16;
/** The smallest that each takes, LUKS included, and some data. */
const SIZES = {
  ext4: { driveMiB: 96, dataMiB: 48 },
  xfs: { driveMiB: 320, dataMiB: 96 },
  btrfs: { driveMiB: 176, dataMiB: 48 },
} as const;
/** Free pieces smaller than a cluster of qcow2 (64 KiB) stay, as do its own tables, and other small things. */
const CRUMBS_MIB = 4;

interface Trimmed {
  trimmedBytes: number;
  allocatedBefore: number;
  allocatedAfter: number;
}

export function reclaimCases(t: Test, vmSite: VmSite): void {
  timerCase(t, vmSite);
  t.test('H9: the host gets back what is free, after deleting and after re-encrypting', async (t) => {
    const rows: string[][] = [];
    for (const format of ['qcow2', 'raw'])
      for (const fileSystem of ['ext4', 'xfs', 'btrfs'] as const)
        rows.push(...(await reclaim(t, vmSite, format, fileSystem)));
    t.comment(
      table([['file', 'file system', 'after', 'fstrim MiB', 'on the host before', 'after', 'at most'], ...rows]),
    );
  });
}

const TIMER = 'vmc-trim.timer';
const DROP_IN = `/run/systemd/system/${TIMER}.d`;

function timerCase(t: Test, { owner, vm }: VmSite): void {
  t.test(
    'H9: the weekly timer trims, also when the VM was off at its time; and trim takes all, however often',
    async (t) => {
      const sh = (script: string) => vm.exec(['sh', '-c', script]);
      const allocated = async () =>
        (await owner.connect<{ allocatedBytes: number }>(['drive', 'info', 'weekly'])).allocatedBytes;
      const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', 'weekly', '--size', '1100MiB']);
      await owner.connect(['drive', 'attach', 'weekly', VM]);
      await owner.connect(['drive', 'format', 'weekly']);
      await owner.connect(['drive', 'open', 'weekly']);
      const inOneGo = await owner.connect<Trimmed>(['drive', 'trim', 'weekly']); // two ranges
      await vm.request('POST', '/random?path=/mnt/weekly/data&mib=64');
      await vm.request('DELETE', '/file?path=/mnt/weekly/data');
      const before = await allocated();
      // Its last time is two weeks ago; of its six random hours nothing is left.
      await sh(`systemctl stop ${TIMER}; touch --date='15 days ago' /var/lib/systemd/timers/stamp-${TIMER}`);
      await sh(`mkdir ${DROP_IN}; printf '[Timer]\nRandomizedDelaySec=0\nAccuracySec=1s\n' > ${DROP_IN}/now.conf`);
      await sh(`systemctl daemon-reload; systemctl start ${TIMER}`);
      const ended = 'systemctl show vmc-trim.service --property=ExecMainExitTimestampMonotonic --value';
      await sh(`until test "$(${ended})" -gt 0; do sleep 1; done`);
      await sh(`rm -r ${DROP_IN}; systemctl daemon-reload; systemctl restart ${TIMER}`);
      t.equal((await sh('systemctl show vmc-trim.service --property=Result --value')).trim(), 'success');
      const said = await sh('journalctl --unit=vmc-trim.service --output=cat');
      t.match(said, new RegExp(`^${driveId}  .* trimmed$`, 'm'));
      const after = await allocated();
      t.match(said, `${humanBytes(inOneGo.trimmedBytes)} trimmed`, 'the second time as the first');
      // Meanwhile ext4 goes on to write its inode tables, 17 MiB.
      t.ok(before - after >= 40 * MiB, `${before} bytes on the host before, ${after} after`);
      await owner.connect(['drive', 'detach', 'weekly']);
      await owner.connect(['drive', 'delete', 'weekly', '--confirm', driveId]);
    },
  );
}

/** @returns its lines of the table. */
async function reclaim(t: Test, { owner, vm }: VmSite, format: string, fileSystem: keyof typeof SIZES) {
  const { driveMiB, dataMiB } = SIZES[fileSystem];
  const name = `r-${format}-${fileSystem}`;
  const trim = () => owner.connect<Trimmed>(['drive', 'trim', name]);
  const inVm = (...argv: [string, ...string[]]) => vm.exec(argv);
  /**
   * What may stay: all of LUKS's header, and what the file system does not call free, which includes what it keeps for
   * itself: the journal and inode tables of ext4, the log of xfs. Re-encryption has written all of that. A btrfs trims no
   * free space that it has set aside for its next metadata (fs/btrfs: free clusters), which on a small drive is all of it.
   */
  const mayStay = async () => {
    if (fileSystem === 'btrfs') {
      const usage = await inVm('btrfs', 'filesystem', 'usage', '--raw', `/mnt/${name}`);
      const bytes = (what: RegExp) => Number(what.exec(usage)?.[1]);
      const [data, metadata] = [bytes(/Data,single: .*Used:(\d+)/), bytes(/Metadata,DUP: Size:(\d+)/)];
      return (LUKS_MIB + CRUMBS_MIB) * MiB + data + 2 * metadata;
    }
    const [free = 0, blockBytes = 0] = (await inVm('stat', '--file-system', '--format=%f %S', `/mnt/${name}`))
      .split(' ')
      .map(Number);
    return (driveMiB + CRUMBS_MIB) * MiB - free * blockBytes;
  };

  const { driveId } = await owner.connect<{ driveId: string }>([
    ...['drive', 'create', name, '--size', `${driveMiB}MiB`, '--format', format],
  ]);
  await owner.connect(['drive', 'attach', name, VM]);
  await owner.connect(['drive', 'format', name, '--fs', fileSystem]);
  await owner.connect(['drive', 'open', name]);
  await vm.request('POST', `/random?path=/mnt/${name}/data&mib=${dataMiB}`);
  await vm.request('DELETE', `/file?path=/mnt/${name}/data`);
  const deleted = await trim();
  t.ok(deleted.allocatedBefore >= dataMiB * MiB, `${name}: ${dataMiB} MiB were written to the host's file`);
  t.ok(
    deleted.allocatedBefore - deleted.allocatedAfter >= 0.9 * dataMiB * MiB,
    `${name}: nine tenths of what was deleted came back`,
  );

  t.match(await owner.connect(['drive', 'reencrypt', name], { timeoutMs: 300_000 }), { reencrypted: 'done' });
  if (fileSystem === 'btrfs') {
    // It gives back what it has never used once only for each time it is mounted.
    await owner.connect(['drive', 'close', name]);
    await owner.connect(['drive', 'open', name]);
  }
  const anew = await trim();
  const most = await mayStay();
  t.ok(anew.allocatedBefore >= 0.9 * (driveMiB - LUKS_MIB) * MiB, `${name}: re-encryption wrote all of it`);
  t.ok(anew.allocatedAfter <= most, `${name}: and trim gave back all that is free: ${anew.allocatedAfter} of ${most}`);
  await owner.connect(['drive', 'detach', name]);
  await owner.connect(['drive', 'delete', name, '--confirm', driveId]);
  return [
    [format, fileSystem, 'deleted', ...mebibytes(deleted), ''],
    [format, fileSystem, 're-encrypted', ...mebibytes(anew), (most / MiB).toFixed(1)],
  ];
}

const mebibytes = ({ trimmedBytes, allocatedBefore, allocatedAfter }: Trimmed): string[] =>
  [trimmedBytes, allocatedBefore, allocatedAfter].map((bytes) => (bytes / MiB).toFixed(1));
