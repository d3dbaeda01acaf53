/** A drive's life as people see it: snapshots while it is written to, another person with a key of their own, the power going. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { VM, type VmSite } from '../support/vm-site.ts';

interface Snapshot {
  snapshotId: string;
  kind: string;
  consistency: string;
}

/** @param sftp where the site's SFTP server keeps its files. */
export function driveLifeCases(t: Test, vmSite: VmSite, sftp: string): void {
  snapshotCase(t, vmSite, sftp);
  sharingCase(t, vmSite);
  powerCutCase(t, vmSite);
}

/** A drive that is attached, formatted and open at /mnt/NAME. */
async function openDrive({ owner }: VmSite, name: string, size: string, ...options: string[]): Promise<string> {
  const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'create', name, '--size', size, ...options]);
  await owner.connect(['drive', 'attach', name, VM]);
  await owner.connect(['drive', 'format', name]);
  await owner.connect(['drive', 'open', name]);
  return driveId;
}

async function removeDrive({ owner }: VmSite, name: string, driveId: string): Promise<void> {
  await owner.connect(['drive', 'detach', name]);
  await owner.connect(['drive', 'delete', name, '--confirm', driveId]);
}

function snapshotCase(t: Test, vmSite: VmSite, sftp: string): void {
  const { owner, vm } = vmSite;
  t.test('H8: snapshots of a drive in use, here and at an SFTP server; restored, it is as it was then', async (t) => {
    const driveId = await openDrive(vmSite, 'kept-twice', '96MiB');
    const write = (text: string) => vm.request('PUT', '/file?path=/mnt/kept-twice/notes', Buffer.from(text));
    const snapshot = (...options: string[]) =>
      owner.connect<Snapshot>(['drive', 'snapshot', 'create', 'kept-twice', ...options]);
    const atServer = async () => (await readdir(join(sftp, driveId)).catch(() => [])).sort();
    await vm.request('POST', '/random?path=/mnt/kept-twice/bulk&mib=16');
    const sum = await vm.exec(['sh', '-c', 'sha256sum < /mnt/kept-twice/bulk']);
    await write('first');
    // Somebody writes all the time.
    await vm.exec([
      'systemd-run',
      '--unit=writer',
      'sh',
      '-c',
      'i=0; while :; do i=$((i+1)); echo $i > /mnt/kept-twice/count; done',
    ]);
    const first = await snapshot();
    t.match(first, { kind: 'full', consistency: 'frozen' });
    await write('second');
    const second = await snapshot();
    t.match(second, { kind: 'incremental', consistency: 'frozen', parentId: first.snapshotId });
    await write('third');
    const third = await snapshot('--to', 'sftp');
    t.match(third, { kind: 'full', consistency: 'frozen', target: 'sftp' });
    t.same(await atServer(), [`${third.snapshotId}.json`, `${third.snapshotId}.qcow2`]);
    await vm.exec(['systemctl', 'stop', 'writer']);
    await write('fourth');
    for (const { snapshotId } of [first, second, third])
      t.match(await owner.connect(['drive', 'snapshot', 'verify', snapshotId]), { ok: true });

    for (const [{ snapshotId }, text] of [
      [first, 'first'],
      [second, 'second'],
      [third, 'third'],
    ] as const) {
      const name = `as-${text}`;
      const restored = await owner.connect<{ driveId: string }>(['drive', 'snapshot', 'restore', snapshotId, name]);
      await owner.connect(['drive', 'attach', name, VM]);
      const opened = await owner.connect<{ state: string; check?: unknown }>(['drive', 'open', name]);
      t.equal(opened.state, 'mounted');
      t.equal((await vm.request('GET', `/file?path=/mnt/${name}/notes`)).toString(), text);
      t.equal(await vm.exec(['sh', '-c', `sha256sum < /mnt/${name}/bulk`]), sum);
      await removeDrive(vmSite, name, restored.driveId);
    }
    await t.rejects(
      owner.connect(['drive', 'snapshot', 'delete', first.snapshotId, '--confirm', first.snapshotId]),
      { code: /busy|wrong-state/ },
      'another one builds on it',
    );
    for (const { snapshotId } of [second, first, third])
      await owner.connect(['drive', 'snapshot', 'delete', snapshotId, '--confirm', snapshotId]);
    t.same(await atServer(), []);
    await removeDrive(vmSite, 'kept-twice', driveId);
  });
}

function sharingCase(t: Test, vmSite: VmSite): void {
  const { owner, site, vm } = vmSite;
  t.test('B2, H3: somebody else opens a shared drive with a key of their own, and cannot write to it', async (t) => {
    const other = site.person('cy');
    const { code } = await owner.connect<{ code: string }>(['user', 'invite']);
    await other.connect(['keygen']);
    await other.connect(
      ['claim', '--backend', site.backendUrlForUser, '--pin', site.pin, '--name', 'cy', '--code-fd', '4'],
      { descriptors: { 4: Buffer.from(code) } },
    );
    const prints = {
      owner: (await owner.connect<{ fingerprint: string }>(['fingerprint'])).fingerprint,
      other: (await other.connect<{ fingerprint: string }>(['fingerprint'])).fingerprint,
    };
    const driveId = await openDrive(vmSite, 'shared', '64MiB');
    await vm.request('PUT', '/file?path=/mnt/shared/notes', Buffer.from('for two'));
    await owner.connect(['drive', 'detach', 'shared']);
    await owner.connect(['drive', 'share', 'shared', 'cy', '--ro', '--fingerprint', prints.other]);
    await t.rejects(
      other.connect(['drive', 'attach', 'shared@ada', VM]),
      { code: 'not-found' },
      'not into VMs that they do not reach',
    );
    await owner.connect(['vm', 'people', 'add', VM, 'cy', '--rights', 'drives', '--fingerprint', prints.other]);
    await owner.connect(['drive', 'attach', 'shared', VM, '--ro']);
    await t.rejects(other.connect(['drive', 'open', 'shared@ada']), { code: 'forbidden' }, 'into which VM is it sent?');
    await other.connect(['vm', 'info', VM]);
    await t.rejects(other.connect(['drive', 'open', 'shared@ada']), { code: 'bad-request' }, 'whose key is it?');
    t.match(await other.connect(['drive', 'open', 'shared@ada', '--fingerprint', prints.owner]), {
      state: 'mounted',
      readOnly: true,
    });
    t.equal((await vm.request('GET', '/file?path=/mnt/shared/notes')).toString(), 'for two');
    const { code: status, stderr } = await vm.tryExec(['touch', '/mnt/shared/mine']);
    t.not(status, 0);
    t.match(stderr, /Read-only file system/);
    for (const refused of [
      ['drive', 'delete', 'shared@ada', '--confirm', driveId],
      ['drive', 'grow', 'shared@ada', '--size', '128MiB'],
      ['drive', 'share', 'shared@ada', 'ada', '--ro', '--yes'],
    ])
      await t.rejects(
        other.connect(refused),
        { code: /forbidden|not-found|wrong-state|bad-request/ },
        String(refused[1]),
      );
    await owner.connect(['drive', 'detach', 'shared']);
    await owner.connect(['drive', 'unshare', 'shared', 'cy']);
    t.match(await other.connect(['drive', 'list']), { drives: [] });
    await owner.connect(['vm', 'people', 'remove', VM, 'cy']);
    await owner.connect(['drive', 'delete', 'shared', '--confirm', driveId]);
  });
}

function powerCutCase(t: Test, vmSite: VmSite): void {
  const { owner, vm, site, vmId } = vmSite;
  t.test(
    'C7: the power goes while drives are written, formatted, grown and re-encrypted: nothing is lost',
    async (t) => {
      const written = await openDrive(vmSite, 'p-written', '96MiB');
      const grown = await openDrive(vmSite, 'p-grown', '64MiB');
      const anew = await openDrive(vmSite, 'p-anew', '160MiB');
      const formatted = (await owner.connect<{ driveId: string }>(['drive', 'create', 'p-format', '--size', '64MiB']))
        .driveId;
      await owner.connect(['drive', 'attach', 'p-format', VM]);
      const sums: Record<string, string> = {};
      for (const name of ['p-written', 'p-grown', 'p-anew']) {
        await vm.request('POST', `/random?path=/mnt/${name}/kept&mib=8`); // and it is on the drive
        sums[name] = await vm.exec(['sh', '-c', `sha256sum < /mnt/${name}/kept`]);
      }
      await vm.exec([
        'systemd-run',
        '--unit=writer',
        'sh',
        '-c',
        'while :; do head -c 1M /dev/urandom > /mnt/p-written/new; sync -f /mnt/p-written/new; mv /mnt/p-written/new /mnt/p-written/last; done',
      ]);
      const underWay = [
        owner.connect(['drive', 'reencrypt', 'p-anew'], { timeoutMs: 120_000 }),
        owner.connect(['drive', 'format', 'p-format'], { timeoutMs: 120_000 }),
        owner.connect(['drive', 'grow', 'p-grown', '--size', '96MiB'], { timeoutMs: 120_000 }),
      ].map((work) =>
        work.then(
          () => 'done',
          (error: unknown) => String(error),
        ),
      );
      // Formatting has come half way: LUKS is there, the file system is being made.
      await vm.exec(['sh', '-c', 'while ! test -e "/dev/mapper/vmc-$1"; do sleep 0.05; done', 'sh', formatted]);
      await site.virsh('destroy', vmId);
      t.comment(`when the power went: ${JSON.stringify(await Promise.all(underWay))}`);

      await owner.connect(['vm', 'start', VM, '--wait', '--timeout', '400'], { timeoutMs: 450_000 });
      for (const name of ['p-written', 'p-grown', 'p-anew']) {
        const opened = await owner.connect<{ state: string; check?: { tool: string; said: string[] } }>([
          ...['drive', 'open', name],
        ]);
        t.equal(opened.state, 'mounted', name);
        t.comment(`${name}: ${JSON.stringify(opened.check ?? 'in order')}`);
        t.equal(await vm.exec(['sh', '-c', `sha256sum < /mnt/${name}/kept`]), sums[name], `${name} has what it had`);
      }
      t.match(await owner.connect(['drive', 'format', 'p-format']), { state: 'locked' }, 'begun again, it is finished');
      t.match(await owner.connect(['drive', 'open', 'p-format']), { state: 'mounted' });
      await owner.connect(['drive', 'grow', 'p-grown', '--size', '96MiB']);
      const size = Number(await vm.exec(['sh', '-c', 'df --output=size --block-size=1M /mnt/p-grown | tail -1']));
      t.ok(size > 60, `it has grown: ${size} MiB`);
      t.match(await owner.connect(['drive', 'reencrypt', 'p-anew'], { timeoutMs: 300_000 }), { reencrypted: 'done' });
      t.equal(await vm.exec(['sh', '-c', 'sha256sum < /mnt/p-anew/kept']), sums['p-anew']);
      await removeDrive(vmSite, 'p-written', written);
      await removeDrive(vmSite, 'p-grown', grown);
      await removeDrive(vmSite, 'p-anew', anew);
      await removeDrive(vmSite, 'p-format', formatted);
    },
  );
}
