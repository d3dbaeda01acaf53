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
export function driveCareCases(t: Test, { owner, vm }: VmSite): void {
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
}
