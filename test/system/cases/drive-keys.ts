/** Keys, headers and re-encryption of drives in a real VM, while somebody writes, and with vmc killed in between. */
import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { table } from '../../../shared/cli/program.ts';
import { KEY_FAULT_POINTS } from '../../../vmc/drives/fault-points.ts';
import type { Request, Survived, Whole } from '../guest/drive-keys.ts';
import { type GuestProgram, guestProgram } from '../support/guest.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

/** Under emulation, on a busy machine. */
const TIMEOUT_MS = 600_000;

/** Leaves nothing behind. */
export function driveKeyCases(t: Test, { owner, vm }: VmSite): void {
  const key = randomBytes(32).toString('base64');
  let program: GuestProgram;
  /** Re-encrypted, with that key. */
  let anew = '';

  const create = async (name: string, size: string) => {
    const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', name, '--size', size]);
    await owner.connect(['drive', 'attach', name, VM]);
    return driveId;
  };
  const remove = async (name: string, driveId: string) => {
    await owner.connect(['drive', 'detach', name]);
    await owner.connect(['drive', 'delete', name, '--confirm', driveId]);
  };
  const ask = <T>(what: Request['do'], driveId = anew, more: Partial<Request> = {}) =>
    program.run<T>({ do: what, driveId, key, ...more }, { timeoutMs: TIMEOUT_MS });

  t.test('C7: re-encrypted while somebody writes: stopped, killed, gone on with; not a byte is wrong', async (t) => {
    program = await guestProgram(vm, 'drive-keys.ts');
    anew = await create('anew', '48MiB');
    await ask('make');
    const seen = await ask<{ doneBytes: number }>('interrupted');
    t.match(seen, {
      notBegun: ['paused', null],
      stopped: 'paused',
      killed: 'SIGKILL',
      close: 'busy',
      again: 'done',
      table: / crypt aes-xts-plain64 .* allow_discards .*sector_size:4096/, // and it is trimmed as before
    });
    t.ok(seen.doneBytes > 0, `stopped at ${seen.doneBytes} bytes`);
    const { pieces, wrongFiles } = await ask<Whole>('look');
    const { wrong, lost, noted } = pieces;
    t.same({ wrong, lost, wrongFiles }, { wrong: [], lost: [], wrongFiles: [] }, 'every byte');
    t.ok(noted > 0, `${noted} pieces were written meanwhile`);
  });

  t.test('C7: vmc is killed at every step of keys and headers; the same asked again makes it right', async (t) => {
    const survived = await ask<Survived[]>('walk', anew, { add: randomBytes(32).toString('base64') });
    t.same(
      survived.map(({ point }) => point),
      KEY_FAULT_POINTS,
    );
    t.comment(table([['killed before', 'left', 'then'], ...survived.map(({ point, left }) => [point, left, 'right'])]));
    t.equal(await ask('restoreOther'), 'bad-data, locked', 'a header from before it was re-encrypted');
  });

  t.test('C7: passphrase, new key, a header that is gone or another one, a damaged file system', async (t) => {
    const driveId = await create('keyed', '40MiB');
    await owner.connect(['drive', 'format', 'keyed']);
    await owner.connect(['drive', 'open', 'keyed']);
    await vm.request('PUT', '/file?path=/mnt/keyed/notes', Buffer.from('kept'));
    const notes = async () => (await vm.request('GET', '/file?path=/mnt/keyed/notes')).toString();
    const slots = async () =>
      (await owner.connect<{ slots: { slot: number; kind: string }[] }>(['drive', 'key', 'list', 'keyed'])).slots;
    const add = (option: string, secret: string) =>
      owner.connect<{ slot: number }>(['drive', 'key', 'add', 'keyed', option, '4'], {
        descriptors: { 4: Buffer.from(secret) },
      });
    const opens = async () => {
      t.match(await owner.connect(['drive', 'open', 'keyed']), { state: 'mounted' });
      t.equal(await notes(), 'kept');
    };

    const passphrase = 'correct horse battery staple';
    const { slot } = await add('--slot-passphrase-fd', passphrase);
    await owner.connect(['drive', 'close', 'keyed']);
    const openOnTheSpot = () =>
      vm.tryExec(['sh', '-c', 'exec vmc drive open "$1" keyed --passphrase-fd 3 3<&0', 'sh', driveId], {
        stdin: Buffer.from(passphrase),
        timeoutMs: TIMEOUT_MS,
      });
    t.match(await openOnTheSpot(), { code: 0 });
    t.equal(await notes(), 'kept', 'a passphrase opens it in the VM alone');
    await owner.connect(['drive', 'key', 'remove', 'keyed', String(slot)]);
    await owner.connect(['drive', 'close', 'keyed']);
    t.match(await openOnTheSpot(), { code: 65, stderr: /does not fit/ });
    const [last] = await slots();
    await t.rejects(
      owner.connect(['drive', 'key', 'remove', 'keyed', String(last?.slot)]),
      { code: 'wrong-state' },
      'the last way in stays',
    );

    await owner.connect(['drive', 'key', 'change', 'keyed']);
    t.match(await slots(), [{ kind: 'key' }]);
    await ask('damage', driveId);
    await t.rejects(owner.connect(['drive', 'format', 'keyed']), { code: 'not-blank' }, 'it is not taken for blank');
    await t.rejects(owner.connect(['drive', 'open', 'keyed']), { code: 'wrong-state', hint: /header restore/ });
    const restore = ['drive', 'header', 'restore', 'keyed', '--confirm', driveId];
    await t.rejects(owner.connect([...restore, '--older']), { code: 'wrong-key' }, 'from before the new key');
    await owner.connect(restore);
    await opens();

    const { slot: same } = await add('--key-fd', key);
    await ask('backUp', driveId);
    t.equal(await ask('restoreOther'), 'bad-data, locked', "another drive's, although the key opens it");
    const wrong = { key: randomBytes(32).toString('base64') };
    t.equal(await ask('restoreOther', anew, wrong), 'wrong-key, locked');
    await owner.connect(['drive', 'key', 'remove', 'keyed', String(same)]);

    const mapping = `/dev/mapper/vmc-${driveId}`;
    await vm.exec(['umount', '/mnt/keyed']);
    for (const command of ['clri <2>', 'set_super_value state 2'])
      await vm.exec(['debugfs', '-w', '-R', command, mapping]);
    await owner.connect(['drive', 'close', 'keyed']);
    await t.rejects(owner.connect(['drive', 'open', 'keyed']), { code: 'bad-data', hint: /--repair/ });
    t.match(await owner.connect(['drive', 'open', 'keyed', '--repair']), {
      state: 'mounted',
      check: { tool: 'e2fsck', repaired: true },
    });
    await remove('keyed', driveId);
    await remove('anew', anew);
  });
}
