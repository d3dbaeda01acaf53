/** Keys, headers and re-encryption of drives in a real VM, while somebody writes, and with vmc killed in between. */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { table } from '../../../shared/cli/program.ts';
import { KEY_FAULT_POINTS } from '../../../vmc/drives/fault-points.ts';
import type { Request, Whole } from '../guest/drive-keys.ts';
import { guestProgram } from '../support/guest.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

const MIB = 1024 * 1024;
/** Under emulation, on a busy machine. */
const TIMEOUT_MS = 600_000;

/** Leaves nothing behind. */
export function driveKeyCases(t: Test, { owner, vm }: VmSite): void {
  const key = randomBytes(32).toString('base64');

  const create = async (name: string, size: string) => {
    const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', name, '--size', size]);
    await owner.connect(['drive', 'attach', name, VM]);
    return driveId;
  };
  const remove = async (name: string, driveId: string) => {
    await owner.connect(['drive', 'detach', name]);
    await owner.connect(['drive', 'delete', name, '--confirm', driveId]);
  };
  const asked = async (driveId: string) => {
    const program = await guestProgram(vm, 'drive-keys.ts');
    return <T>(what: Request['do'], more: Partial<Request> = {}) =>
      program.run<T>({ do: what, driveId, key, ...more }, { timeoutMs: TIMEOUT_MS });
  };
  const isWhole = (t: Test, { pieces, wrongFiles }: Whole) => {
    const { wrong, lost, noted } = pieces;
    t.same({ wrong, lost, wrongFiles }, { wrong: [], lost: [], wrongFiles: [] }, 'every byte');
    t.ok(noted > 0, `${noted} pieces were written meanwhile`);
  };

  t.test('C7: re-encrypted while somebody writes: stopped, killed, gone on with; not a byte is wrong', async (t) => {
    const driveId = await create('anew', '64MiB');
    const ask = await asked(driveId);
    await ask('make');
    const { states, table } = await ask<{ states: string[]; table: string }>('stopAndGoOn', { stops: [8 * MIB] });
    t.same(states, ['paused', 'done']);
    t.match(table, / crypt aes-xts-plain64 .* allow_discards .*sector_size:4096/, 'and it is trimmed as before');
    isWhole(t, await ask<Whole>('look'));
    t.same(await ask('killAndGoOn'), { killed: 'SIGKILL', busy: 'busy', again: 'done' });
    isWhole(t, await ask<Whole>('look'));
    await remove('anew', driveId);
  });

  t.test(
    'C7: vmc is killed at every step of changing keys and headers; the same asked again makes it right',
    async (t) => {
      const driveId = await create('steps', '40MiB');
      const ask = await asked(driveId);
      const add = { key: randomBytes(32).toString('base64') };
      const survived = await ask<{ point: string; left: string }[]>('walk', { files: 2, pieces: 512, add });
      t.same(
        survived.map(({ point }) => point),
        KEY_FAULT_POINTS,
      );
      t.comment(
        table([['killed before', 'left', 'then'], ...survived.map(({ point, left }) => [point, left, 'right'])]),
      );
      t.equal(await ask('restoreOther'), 'bad-data, locked', 'from before it was re-encrypted');
      await remove('steps', driveId);
    },
  );
}
