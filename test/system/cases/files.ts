/** Files: SFTP through the whole path, as the VM's own systemd and kernel let it. */
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { VM, type VmSite } from '../support/vm-site.ts';

/** Needs the drive that `driveCases` leaves. */
export function fileCases(t: Test, { site, owner, vm }: VmSite): void {
  const sftp = async (batch: string[]): Promise<string> => {
    const file = join(site.folders.user, 'batch');
    await writeFile(file, `${batch.join('\n')}\n`);
    return (await owner.connectRaw(['sftp', VM, '--', '-b', file])).toString();
  };
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

  t.test(
    'C6, C8: put and get by OpenSSH’s sftp; it belongs to its person; the drive is theirs to write on',
    async (t) => {
      const folder = site.folders.user;
      const content = randomBytes(3_000_000);
      await writeFile(join(folder, 'up'), content);
      const said = await sftp([`put ${folder}/up`, `put ${folder}/up /mnt/data/up`, `get up ${folder}/down`, 'pwd']);
      t.match(said, /Remote working directory: \/home\/owner$/m);
      t.equal(sha256(await readFile(join(folder, 'down'))), sha256(content), 'there and back');
      t.equal(sha256(await vm.request('GET', '/file?path=/home/owner/up')), sha256(content));
      t.equal(sha256(await vm.request('GET', '/file?path=/mnt/data/up')), sha256(content), 'a drive’s root folder');
      for (const refused of ['/etc/shadow', '/var/lib/vmc/identity', '/var/lib/vmc/audit.log']) {
        await t.rejects(sftp([`get ${refused} ${folder}/not`]), /Permission denied|not found/i, refused);
      }
      const audit = (await vm.request('GET', '/file?path=/var/lib/vmc/audit.log')).toString();
      t.match(audit, /"file\.upload","target":"3000000 bytes \/home\/owner\/up"/);
      t.match(audit, /"file\.download","target":"3000000 bytes \/home\/owner\/up"/);
      t.match(audit, /"file\.open","target":"\/etc\/shadow","result":"Permission denied"/);
      const passwd = (await vm.request('GET', '/file?path=/etc/passwd')).toString();
      t.match(passwd, /^owner:x:([2-5]\d{4}):\1::\/home\/owner:\/bin\/bash$/m);
    },
  );
}
