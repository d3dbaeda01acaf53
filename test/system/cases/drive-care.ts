/** Looking after drives in a real VM: killed at each step, damaged, grown, frozen, and made by other hands. */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { table } from '../../../shared/cli/program.ts';
import { CARE_FAULT_POINTS } from '../../../vmc/drives/fault-points.ts';
import type { Survived } from '../guest/drive-faults.ts';
import { guestProgram } from '../support/guest.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

/** Under emulation, on a busy machine. */
const TIMEOUT_MS = 300_000;
const MIB = 1024 * 1024;

/** Leaves nothing behind. */
export function driveCareCases(t: Test, vmSite: VmSite): void {
  const { owner, vm } = vmSite;
  const key = randomBytes(32).toString('base64');

  const withDrive = async (name: string, size: string, work: (driveId: string) => Promise<void>) => {
    const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', name, '--size', size]);
    await owner.connect(['drive', 'attach', name, VM]);
    await work(driveId);
    await owner.connect(['drive', 'detach', name]);
    await owner.connect(['drive', 'delete', name, '--confirm', driveId]);
  };

  t.test('vmc is killed at every step of what it does to a drive; the same asked again makes it right', async (t) => {
    const program = await guestProgram(vm, 'drive-faults.ts');
    await withDrive('faults', '64MiB', async (driveId) => {
      const survived = await program.run<Survived[]>({ walk: { driveId, key } }, { timeoutMs: 2 * TIMEOUT_MS });
      t.same(
        survived.map(({ point }) => point),
        CARE_FAULT_POINTS,
      );
      t.comment(
        table([['killed before', 'left', 'then'], ...survived.map(({ point, left }) => [point, left, 'right'])]),
      );
    });
  });

  t.test('each file system; damage; growth; those who hold it; a freeze that nobody ends; other hands', async (t) => {
    const program = await guestProgram(vm, 'drive-care.ts');
    await withDrive('care', '400MiB', async (driveId) => {
      const scene = <T extends object>(name: string) =>
        program.run<T>({ scene: name, driveId, key }, { timeoutMs: TIMEOUT_MS });

      const kind = { kept: 'kept', trimmed: Number, readOnly: true, written: '' };
      const kinds = await scene<Record<string, { trimmed: number }>>('kinds');
      for (const [name, { trimmed }] of Object.entries(kinds)) t.ok(trimmed > 64 * MIB, `${name}: ${trimmed} bytes`);
      t.match(kinds, {
        ext4: { ...kind, mount: / ro,nosuid,nodev,.* ext4 .* ro,norecovery/ },
        xfs: { ...kind, mount: / ro,nosuid,nodev,.* xfs .*norecovery/ },
        btrfs: { ...kind, mount: / ro,nosuid,nodev,.* btrfs .*rescue=nologreplay/ },
      });
      t.match(await scene('dirtyXfs'), {
        check: { tool: 'xfs_repair -n', repaired: false },
        kept: 'kept',
        again: null,
      });
      const grown = { wrong: 'wrong-key', again: 0, kept: 'kept' };
      const growth = await scene<Record<'xfs' | 'btrfs', { grown: number; trimmed: number }>>('growth');
      for (const it of [growth.xfs, growth.btrfs]) t.ok(it.grown > 60 * MIB && it.trimmed > 64 * MIB, 'room, and trim');
      t.match(growth, { xfs: grown, btrfs: grown, closed: { code: 'wrong-state', hint: /Open it/ } });
      t.match(await scene('damagedExt4'), {
        little: { tool: 'e2fsck' },
        keptThen: 'kept',
        refused: { code: 'bad-data', message: /Root inode is not a directory/, hint: /--repair/ },
        shut: 'locked',
        readOnlyRepair: { code: 'bad-request' },
        full: { tool: 'e2fsck', repaired: true },
        state: 'mounted',
      });
      const held = await scene<{ inside: number; apart: number }>('held');
      t.match(held, {
        busy: { code: 'busy', message: new RegExp(`sleep \\(pid ${held.inside}\\)`) },
        elsewhere: { code: 'busy', message: new RegExp(`pid ${held.apart}, has it mounted for itself`) },
        state: 'open',
        closed: 'locked',
      });
      t.match(await scene('frozenForEver'), {
        crashed: true,
        isFrozen: true,
        busy: ['busy', 'busy', 'busy'],
        waited: true,
        wasFrozen: false,
        left: '',
        mounted: true,
      });
      t.match(await scene('otherHands'), {
        opened: ['ext4 mounted', 'xfs mounted', 'btrfs mounted'],
        byHandRead: 'kept',
      });
    });
  });

  tornCase(t, vmSite);
  leavingCase(t, vmSite);
}

/** The host takes the disk away by hand while somebody writes. */
function tornCase(t: Test, { owner, vm, site, vmId, call }: VmSite): void {
  t.test('C7: a disk is taken away under a writer: it is said, closed, and opens again', async (t) => {
    const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', 'torn', '--size', '64MiB']);
    await owner.connect(['drive', 'attach', 'torn', VM]);
    await owner.connect(['drive', 'format', 'torn']);
    await owner.connect(['drive', 'open', 'torn']);
    await vm.request('POST', '/random?path=/mnt/torn/kept&mib=4'); // and it is on the drive
    const sum = () => vm.exec(['sh', '-c', 'sha256sum < /mnt/torn/kept']);
    const kept = await sum();
    const write = 'while :; do head -c 1M /dev/urandom > new; sync -f new; mv new last; done';
    await vm.exec(['systemd-run', '--unit=torn', '--working-directory=/mnt/torn', 'sh', '-c', write]);
    await vm.exec(['sh', '-c', 'until test -e /mnt/torn/last; do sleep 0.1; done']);
    const disks = await site.virsh('domblklist', vmId);
    const [, target = ''] = new RegExp(`(\\w+) +.*${driveId}`).exec(disks) ?? [];
    await site.virsh('detach-disk', vmId, target, '--live');
    await vm.exec(['sh', '-c', 'while test -e /dev/disk/by-id/*"$1"; do sleep 0.1; done', 'sh', driveId]);

    const list = { kind: 'control', name: 'driveList', vmId, params: {}, body: {} } as const;
    const { drives } = await call<{ drives: { driveId: string }[] }>(owner, list);
    t.match(
      drives.find((it) => it.driveId === driveId),
      { state: 'mounted', mountPoint: '/mnt/torn', problem: /taken away.*Close it/ },
    );
    await t.rejects(owner.connect(['drive', 'trim', 'torn']), { code: 'wrong-state', message: /taken away/ });
    await t.rejects(owner.connect(['drive', 'detach', 'torn']), { code: 'busy', message: / sh \(pid / });
    await vm.exec(['systemctl', 'stop', 'torn']);
    await owner.connect(['drive', 'detach', 'torn']); // closes it, too
    t.equal((await vm.exec(['ls', '/dev/mapper', '/mnt'])).includes(driveId), false);

    await owner.connect(['drive', 'attach', 'torn', VM]);
    t.match(await owner.connect(['drive', 'open', 'torn']), { state: 'mounted', check: { tool: 'e2fsck' } });
    t.equal(await sum(), kept, 'with what was on it');
    await owner.connect(['drive', 'detach', 'torn']);
    await owner.connect(['drive', 'delete', 'torn', '--confirm', driveId]);
  });
}

/** Between the close and the detach somebody else could open it, and have it torn away. */
function leavingCase(t: Test, { owner, vmId, call }: VmSite): void {
  t.test('C7: a drive that was closed to be detached is opened by nobody until it is back', async (t) => {
    const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', 'leaving', '--size', '64MiB']);
    await owner.connect(['drive', 'attach', 'leaving', VM]);
    await owner.connect(['drive', 'format', 'leaving']);
    await owner.connect(['drive', 'open', 'leaving']);
    const close = { kind: 'control', name: 'driveClose', vmId, params: { driveId, leaving: true }, body: {} } as const;
    t.match(await call(owner, close), { state: 'locked' });
    await t.rejects(owner.connect(['drive', 'open', 'leaving']), { code: 'busy', message: /to be detached/ });
    await owner.connect(['drive', 'detach', 'leaving']);
    await owner.connect(['drive', 'attach', 'leaving', VM]);
    t.match(await owner.connect(['drive', 'open', 'leaving']), { state: 'mounted' }, 'at once');
    await owner.connect(['drive', 'detach', 'leaving']);
    await owner.connect(['drive', 'delete', 'leaving', '--confirm', driveId]);
  });
}
