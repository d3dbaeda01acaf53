/** What the host does with drives while a real guest uses them: a pool that runs full, a detach while it boots. */
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run } from '../../../shared/run.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

const MIB = 1024 * 1024;
const LEFT_MIB = 48;
const WRITTEN_MIB = 120;
const NOTICED_MS = 180_000;

/** Needs a site with `drivesMiB`. The last of all cases: it ends with a VM that was reset. */
export function hostDriveCases(t: Test, { site, owner, vm, vmId, hostAgent }: VmSite): void {
  t.test(
    'H1: the pool is full while the guest writes: it is stopped, goes on by itself, and every byte is right',
    async (t) => {
      const { drives } = site.folders;
      const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', 'hungry', '--size', '400MiB']);
      await owner.connect(['drive', 'attach', 'hungry', VM]);
      await owner.connect(['drive', 'format', 'hungry']);
      await owner.connect(['drive', 'open', 'hungry']);
      const ballast = join(drives, 'ballast');
      const { bavail, bsize } = await statfs(drives);
      const fill = bavail * bsize - LEFT_MIB * MIB;
      await run({ file: 'fallocate', args: ['--length', String(fill), ballast], timeoutMs: 60_000 });
      const script = `set -e; head -c ${WRITTEN_MIB}M /dev/urandom > /dev/shm/source; sha256sum < /dev/shm/source > /run/sum; cp /dev/shm/source /mnt/hungry/copy; sync -f /mnt/hungry/copy; touch /run/done`;
      await vm.exec(['systemd-run', '--unit=hungry', 'sh', '-c', script]);

      const paused = await hostAgent.waitForLine(/"event":"vm-paused".*/, NOTICED_MS);
      t.match(paused[0], '"because":"no-space"');
      t.match(paused[0], 'goes on by itself');
      t.match(await site.virsh('domstate', '--reason', vmId), 'paused (I/O error)');
      const [status] = JSON.parse(await site.hostAgent(['vm', 'list', '--json'])) as unknown[];
      t.match(status, { state: 'paused', pausedBecause: 'no-space' });
      await t.rejects(site.hostAgent(['vm', 'start', vmId]), /pool is full/);

      await run({ file: 'rm', args: [ballast], timeoutMs: 10_000 });
      await hostAgent.waitForLine(/"event":"vm-resumed"/, NOTICED_MS);
      await vm.exec(
        [
          'sh',
          '-c',
          'while systemctl is-active --quiet hungry; do sleep 0.2; done; cat /run/done; echo 3 > /proc/sys/vm/drop_caches',
        ],
        { timeoutMs: 180_000 },
      );
      const [source, copy] = [
        await vm.exec(['cat', '/run/sum']),
        await vm.exec(['sh', '-c', 'sha256sum < /mnt/hungry/copy']),
      ];
      t.match(source, /^[0-9a-f]{64} /);
      t.equal(copy, source);
      await vm.exec(['rm', '/dev/shm/source']);
      t.match(await owner.connect(['drive', 'detach', 'hungry']), {});
      t.match(JSON.parse(await site.hostAgent(['drive', 'check', driveId, '--json'])), { state: 'good' });
      await owner.connect(['drive', 'delete', 'hungry', '--confirm', driveId]);
    },
  );

  t.test('H3: twenty times in and out while the guest boots', async (t) => {
    const { driveId } = JSON.parse(await site.hostAgent(['drive', 'create', '64MiB', '--json'])) as { driveId: string };
    const before = await owner.connect<{ startedAt: number }>(['vm', 'info', VM]);
    await site.virsh('reset', vmId);
    for (let i = 0; i < 20; i++) {
      await site.hostAgent(['drive', 'attach', driveId, vmId]);
      t.match(JSON.parse(await site.hostAgent(['drive', 'detach', driveId, vmId, '--json'])), { state: 'running' });
    }
    t.notMatch(await site.virsh('dumpxml', vmId), driveId);
    const deadline = performance.now() + 300_000;
    let after = before;
    while (after.startedAt === before.startedAt && performance.now() < deadline)
      after = await owner.connect<typeof before>(['vm', 'info', VM]).catch(() => before);
    t.not(after.startedAt, before.startedAt, 'it has booted');
    t.notMatch(await vm.exec(['lsblk', '--noheadings', '--output', 'SERIAL']), driveId, 'nothing of it is left there');
    await site.hostAgent(['drive', 'delete', driveId, '--confirm', driveId]);
  });
}
