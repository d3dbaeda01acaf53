/** Restarts: what is there again by itself. */
import type { Test } from 'tap';
import { hammerVm } from '../support/hammer-vm.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

/** Needs the drive that `driveCases` leaves. */
export function restartCases(t: Test, { site, vmId, owner, vm }: VmSite): void {
  t.test(
    'C1, C4: vmc is killed: systemd starts it again, it parks, its firewall is back, the drive stays mounted',
    async (t) => {
      const before = await owner.connect<{ startedAt: number; fingerprint: string }>(['vm', 'info', VM]);
      const stopHammering = await hammerVm({ site, vmId });
      await vm.request('POST', '/kill-vmc').catch(() => {}); // it carries this very stream
      const deadline = performance.now() + 90_000;
      let after = before;
      while (after.startedAt === before.startedAt && performance.now() < deadline)
        after = await owner.connect<typeof before>(['vm', 'info', VM]).catch(() => before);
      t.not(after.startedAt, before.startedAt, 'a new process answers');
      t.equal(after.fingerprint, before.fingerprint, 'with the same identity');
      const { connected, ...others } = await stopHammering();
      t.same(others, { refused: 0, failed: 0 }, `systemd keeps port 22: of ${connected} connections none was refused`);
      t.ok(connected > 50);
      t.equal(
        (await vm.request('GET', '/file?path=/mnt/data/kept')).toString(),
        'kept',
        'the same local port works on, and the drive is mounted',
      );
      t.match(await owner.connect(['drive', 'close', 'data']), { state: 'locked' });
      t.match(await owner.connect(['drive', 'open', 'data']), { state: 'mounted' });
    },
  );
}
