/** ISO images and NFS exports: read-only whatever the other side allows, let go in order, and nothing hangs on a dead server (C14). */
import { createHash } from 'node:crypto';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run } from '../../../shared/run.ts';
import { MEDIA_FAULT_POINTS } from '../../../vmc/drives/fault-points.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

const VMC: [string, string] = ['/usr/lib/vmc/node', '/usr/lib/vmc/main.js'];
const FAULT_FILE = '/run/media-fault';
const EXPORT = '/srv/export';
/** Who waits for a silent server waits longer than this; who does not is done in a fraction of it, also on a slow machine. */
const DEAD_SERVER_MS = 60_000;

const sha256 = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

/** Leaves the VM as it was: nothing attached, nothing mounted, no NFS server. */
export function mediaCases(t: Test, { site, owner, vmId, vm, call }: VmSite): void {
  const inVm = (name: string, params: unknown) => call(owner, { kind: 'control', name, vmId, params, body: {} });
  const mounts = async () => (await vm.exec(['cat', '/proc/self/mountinfo'])).split('\n');
  const mountedAt = async (path: string) => (await mounts()).find((line) => line.includes(` ${path} `));
  const image = join(site.folders.isos, 'tools.iso');
  let isoId = '';

  t.test('C14: an ISO image is a read-only disk in the VM, and a name for it', async (t) => {
    const content = join(site.folders.isos, '..', 'iso-content');
    await mkdir(content, { recursive: true });
    await writeFile(join(content, 'hello'), 'from the image\n');
    await writeFile(join(content, 'program'), '#!/bin/sh\necho it runs\n', { mode: 0o755 });
    for (const [path, ...options] of [
      [image, '-R', '-V', 'MY TOOLS'],
      [join(site.folders.isos, 'bridge.iso'), '-udf', '-V', 'BRIDGE'],
    ] as const)
      await run({ file: 'genisoimage', args: ['-quiet', ...options, '-o', path, content], timeoutMs: 20_000 });
    await symlink('/etc/passwd', join(site.folders.isos, 'passwd.iso'));
    const before = await sha256(image);

    const { isos } = await owner.connect<{ isos: { name: string; isoId: string; attached: boolean }[] }>([
      ...['vm', 'iso', 'list', VM],
    ]);
    t.strictSame(
      isos.map(({ name, attached }) => ({ name, attached })),
      ['bridge', 'tools'].map((name) => ({ name, attached: false })),
      'a link out of the pool is none',
    );
    isoId = isos.find(({ name }) => name === 'tools')?.isoId ?? '';
    t.match(await owner.connect(['vm', 'iso', 'attach', VM, 'tools', '--as', 'tools']), { mountPoint: '/mnt/tools' });
    t.match(await owner.connect(['vm', 'iso', 'attach', VM, 'bridge', '--as', 'bridge']), {
      mountPoint: '/mnt/bridge',
    });
    t.match(await mountedAt('/mnt/tools'), / ro,nosuid,nodev[ ,].* - iso9660 /);
    t.match(await mountedAt('/mnt/bridge'), / ro,nosuid,nodev[ ,].* - udf /);
    t.equal(await vm.exec(['cat', '/mnt/tools/hello', '/mnt/bridge/hello']), 'from the image\n'.repeat(2));
    t.equal(await vm.exec(['/mnt/tools/program']), 'it runs\n');
    t.match(await inVm('isoList', {}), {
      isos: [{ isoId, state: 'mounted', label: 'MY TOOLS', mountPoint: '/mnt/tools' }, { label: 'BRIDGE' }],
    });
    t.strictSame(await owner.connect(['drive', 'list']), { drives: [] }, 'it is no drive');
    t.match(JSON.parse(await site.hostAgent(['vm', 'list', '--json'])), [{ attached: [] }]);

    t.match(await vm.tryExec(['touch', '/mnt/tools/new']), { code: 1, stderr: /Read-only file system/ });
    t.match(await vm.tryExec(['mount', '-o', 'remount,rw', '/mnt/tools']), { code: 32, stderr: /write-protected/ });
    const disk = `/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_${isoId}`;
    t.match(await vm.tryExec(['dd', 'if=/dev/zero', `of=${disk}`, 'bs=4096', 'count=1', 'conv=notrunc,fsync']), {
      code: 1,
      stderr: /Operation not permitted|Read-only/,
    });
    t.equal(await sha256(image), before, 'byte for byte');
    await owner.connect(['vm', 'iso', 'eject', VM, 'bridge']);
    t.equal(await mountedAt('/mnt/bridge'), undefined);
  });

  t.test('C14: an image that a process uses is not ejected, and the process is named', async (t) => {
    await vm.exec(['systemd-run', '--unit=sitter', '--working-directory=/mnt/tools', 'sleep', '1000']);
    await t.rejects(owner.connect(['vm', 'iso', 'eject', VM, 'tools']), { code: 'busy', message: /sleep \(pid \d+\)/ });
    t.ok(await mountedAt('/mnt/tools'), 'it is still there');
    await vm.exec(['systemctl', 'stop', 'sitter']);
    t.match(await owner.connect(['vm', 'iso', 'eject', VM, 'tools']), { attached: false });
    t.equal(await mountedAt('/mnt/tools'), undefined);
    t.match(await inVm('isoList', {}), { isos: [] });
    await t.rejects(inVm('isoMount', { isoId: 'iso00000000000000ff', name: 'x' }), {
      code: 'not-found',
      hint: /vm iso/,
    });
  });

  t.test('C14: an export that may be written to is mounted read-only all the same', async (t) => {
    await vm.exec(['mkdir', '--parents', EXPORT, '/etc/nfs.conf.d']);
    await vm.request('PUT', `/file?path=${EXPORT}/reference`, Buffer.from('data'));
    await vm.request('PUT', '/file?path=/etc/nfs.conf.d/v4.conf', Buffer.from('[nfsd]\nvers3=n\n'));
    const line = `${EXPORT} 127.0.0.1(rw,sync,no_subtree_check,no_root_squash,insecure)\n`;
    await vm.request('PUT', '/file?path=/etc/exports', Buffer.from(line));
    await vm.exec(['systemctl', 'start', 'nfs-server']);
    t.match(await owner.connect(['vm', 'nfs', 'list', VM]), { servers: ['127.0.0.1'], mounts: [] });
    t.match(await owner.connect(['vm', 'nfs', 'mount', VM, `127.0.0.1:${EXPORT}`, 'ref']), { mountPoint: '/mnt/ref' });
    t.match(await mountedAt('/mnt/ref'), / ro,nosuid,nodev,noexec[ ,].* - nfs4 .*[ ,]soft,/);
    t.equal(await vm.exec(['cat', '/mnt/ref/reference']), 'data');
    t.match(await vm.tryExec(['touch', '/mnt/ref/new']), { code: 1, stderr: /Read-only file system/ });
    t.equal(await vm.exec(['ls', EXPORT]), 'reference\n', 'nothing arrived');
    const request = { server: '127.0.0.1', path: EXPORT, name: 'rw' };
    await t.rejects(inVm('nfsMount', { ...request, readOnly: false }), { code: 'forbidden', message: /read-only/ });
    await t.rejects(inVm('nfsMount', { ...request, server: '127.0.0.2' }), {
      code: 'forbidden',
      message: /127\.0\.0\.1/,
    });
    await t.rejects(inVm('nfsMount', { ...request, path: '/srv/none' }), { code: 'not-found' });
    await t.rejects(inVm('nfsMount', { ...request, name: 'ref', path: '/srv' }), { code: 'already-exists' });
    t.notOk((await mounts()).some((it) => it.includes('/mnt/rw')));
    t.match(
      await vm.exec(['nft', 'list', 'chain', 'inet', 'vmc', 'output']),
      /ip daddr 127\.0\.0\.1 tcp dport 2049 accept/,
    );
  });

  t.test('C14: vmc is ended at each step of mounting and unmounting, and doing it again brings it right', async (t) => {
    await owner.connect(['vm', 'nfs', 'unmount', VM, 'ref']);
    await owner.connect(['vm', 'iso', 'attach', VM, 'tools']);
    const commands: Record<string, [string, ...string[]]> = {
      'iso.mount': ['iso', 'mount', isoId, 'walk'],
      'iso.unmount': ['iso', 'unmount', isoId],
      'nfs.mount': ['nfs', 'mount', `127.0.0.1:${EXPORT}`, 'walk'],
      'nfs.unmount': ['nfs', 'unmount', 'walk'],
    };
    let reached = 0;
    for (const [operation, command] of Object.entries(commands)) {
      for (const point of MEDIA_FAULT_POINTS.filter((it) => it.startsWith(`${operation}:`))) {
        await vm.request('PUT', `/file?path=${FAULT_FILE}`, Buffer.from(point));
        const killed = await vm.tryExec(['env', `VMC_FAULT_FILE=${FAULT_FILE}`, ...VMC, ...command]);
        t.match(killed, { signal: 'SIGKILL' }, `${point} was reached`);
        reached++;
      }
      await vm.exec([...VMC, ...command]);
      const line = await mountedAt('/mnt/walk');
      if (operation.endsWith('unmount')) t.equal(line, undefined, `${operation}: unmounted`);
      else t.match(line, / ro,nosuid,nodev/, `${operation}: mounted`);
    }
    t.equal(reached, MEDIA_FAULT_POINTS.length);
    t.notOk(
      (await mounts()).some((it) => it.includes('/mnt/walk')),
      'once, not one over the other',
    );
    await owner.connect(['vm', 'iso', 'eject', VM, 'tools']);
  });

  t.test('C14: a server that dies hangs nothing: drives are listed, and its export is unmounted', async (t) => {
    await owner.connect(['vm', 'nfs', 'mount', VM, `127.0.0.1:${EXPORT}`, 'ref']);
    await vm.exec(['systemd-run', '--unit=sitter', '--working-directory=/mnt/ref', 'sleep', '1000']);
    const drop = 'tcp dport 2049 drop; tcp sport 2049 drop';
    await vm.exec(['nft', `table ip dead { chain in { type filter hook input priority -10; ${drop}; }; }`]);
    await vm.exec(['systemd-run', '--unit=reader', 'ls', '/mnt/ref/nothing']);
    const started = performance.now();
    await inVm('driveList', {});
    await inVm('nfsList', {});
    t.ok(performance.now() - started < DEAD_SERVER_MS, 'nobody waited for the server');
    await t.rejects(owner.connect(['vm', 'nfs', 'unmount', VM, 'ref']), { code: 'busy', message: /sleep \(pid \d+\)/ });
    await vm.exec(['systemctl', 'stop', 'sitter']);
    await vm.tryExec(['systemctl', 'stop', 'reader']); // its request may have failed by now
    const unmounting = performance.now();
    t.match(await owner.connect(['vm', 'nfs', 'unmount', VM, 'ref'], { timeoutMs: 120_000 }), { mounted: false });
    t.ok(performance.now() - unmounting < DEAD_SERVER_MS);
    t.equal(await mountedAt('/mnt/ref'), undefined);
    await vm.exec(['nft', 'delete', 'table', 'ip', 'dead']);
    await vm.exec(['systemctl', 'stop', 'nfs-server']);
  });
}
