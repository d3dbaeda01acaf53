/** Drive files beyond making and attaching: what space they take, growing, checking, converting, and a pool that is not there. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import t from 'tap';
import { type DriveFile, driveFileSchema } from '../../../shared/agent-api/index.ts';
import { run } from '../../../shared/run.ts';
import { bootstrapFor, makeHostBox } from './support/host-box.ts';
import { refusalOf } from './support/refusal.ts';

const A = 'vm-aaaaaaaaaaaa';
const MIB = 1024 * 1024;
const id = (n: number) => `drv${String(n).padStart(16, '0')}`;

t.setTimeout(600_000);

t.test('drive files', async (t) => {
  const box = await makeHostBox({ libvirt: true });
  t.teardown(() => box.remove());
  const drive = async (...args: string[]): Promise<DriveFile> =>
    driveFileSchema.parse(await box.json(['drive', ...args]));
  const refusal = (...args: string[]) => refusalOf(box, ['drive', ...args]);
  const file = (n: number, format: string) => join(box.drives, `${id(n)}.${format}`);
  const qemuIo = (path: string, format: string, command: string) =>
    run({ file: 'qemu-io', args: ['-f', format, '-c', command, path], timeoutMs: 20_000 });
  const ours = async () => (await readdir(box.drives)).filter((name) => name.includes('drv')).sort();
  const bootstrap = bootstrapFor(A);
  await box.json(
    ['vm', 'create', A, '--image', 'blank', '--bootstrap-fd', 'FD', '--cores', '1', '--memory-mib', '256'],
    bootstrap,
  );

  await t.test('H1: falloc and full take their space at once, and need all of it', async (t) => {
    let n = 1;
    for (const format of ['raw', 'qcow2'])
      for (const allocation of ['falloc', 'full']) {
        const made = await drive('create', '32MiB', '--id', id(n), '--format', format, '--allocation', allocation);
        t.ok(made.allocatedBytes >= 32 * MIB, `${format} ${allocation}: ${made.allocatedBytes}`);
        t.equal(made.sizeBytes, 32 * MIB);
        t.match(await refusal('create', '32MiB', '--id', id(n), '--format', format), { code: 'already-exists' });
        await box.json(['drive', 'attach', id(n), A]);
        t.match(await box.virsh('dumpxml', A), /discard='ignore'/, 'what was set aside stays so');
        await box.json(['drive', 'detach', id(n), A]);
        await box.json(['drive', 'delete', id(n), '--confirm', id(n)]);
        n++;
      }
    t.match(await refusal('create', '32TiB', '--allocation', 'falloc'), { code: 'no-space', message: /needed now/ });
    t.strictSame(await ours(), []);
  });

  await t.test('H1: making a full drive tells how far it is; cancelled, it leaves nothing', async (t) => {
    const args = ['drive', 'create', '6GiB', '--format', 'raw', '--allocation', 'full', '--id', id(9)];
    const child = await box.start(box.namespace, ['host-agent/main.ts', '--config', box.config, ...args]);
    const ended = once(child, 'exit');
    for await (const chunk of child.stderr as Readable) if (String(chunk).includes('fill')) child.kill('SIGINT');
    t.strictSame(await ended, [130, null]);
    t.strictSame(await ours(), []);
    t.match(await refusal('info', id(9)), { code: 'not-found' });
  });

  await t.test('H1: drives grow, detached and in a running VM, and never shrink', async (t) => {
    for (const [n, format] of [
      [11, 'raw'],
      [12, 'qcow2'],
    ] as const) {
      await drive('create', '32MiB', '--id', id(n), '--format', format);
      await qemuIo(file(n, format), format, 'write -P 0x5a 0 1M');
      t.match(await drive('resize', id(n), '48MiB'), { sizeBytes: 48 * MIB });
      t.match(await drive('resize', id(n), '48MiB'), { sizeBytes: 48 * MIB }, 'repeating it succeeds');
      t.match(await refusal('resize', id(n), '32MiB'), { code: 'bad-request', message: /never shrinks/ });
      t.match(await refusal('resize', id(n), '64TiB'), { code: 'no-space' });
      await box.json(['drive', 'attach', id(n), A]);
      t.match(await drive('resize', id(n), '64MiB'), { sizeBytes: 64 * MIB, attachedTo: A });
      const size = /Capacity: +(\d+)/.exec(await box.virsh('domblkinfo', A, file(n, format)))?.[1];
      t.equal(Number(size), 64 * MIB, 'the machine sees it');
      await box.json(['drive', 'detach', id(n), A]);
      await box.json(['drive', 'attach', id(n), A, '--read-only']);
      t.match(await refusal('resize', id(n), '80MiB'), { code: 'busy', message: /read-only/ });
      t.match(await drive('info', id(n)), { sizeBytes: 64 * MIB, attachments: [{ vmId: A, readOnly: true }] });
      await box.json(['drive', 'detach', id(n), A]);
      await qemuIo(file(n, format), format, 'read -P 0x5a 0 1M');
    }
  });

  await t.test('H1: raw to qcow2 and back: every byte is there, holes stay holes', async (t) => {
    t.match(await drive('convert', id(11), '--format', 'raw'), { format: 'raw' }, 'it is raw');
    await box.json(['drive', 'attach', id(11), A]);
    t.match(await refusal('convert', id(11), '--format', 'qcow2'), { code: 'busy', message: new RegExp(A) });
    await box.json(['drive', 'detach', id(11), A]);
    for (const format of ['qcow2', 'raw']) {
      const converted = await drive('convert', id(11), '--format', format);
      t.match(converted, { format, sizeBytes: 64 * MIB });
      t.ok(converted.allocatedBytes < 3 * MIB, `${converted.allocatedBytes} bytes are taken`);
      await qemuIo(file(11, format), format, 'read -P 0x5a 0 1M');
      await qemuIo(file(11, format), format, 'read -P 0 1M 63M');
    }
    t.strictSame(await ours(), [`${id(11)}.raw`, `${id(12)}.qcow2`], 'one file each');
  });

  await t.test('H1: a file that is sound, that leaks, that is damaged', async (t) => {
    t.match(await box.json(['drive', 'check', id(11)]), { state: 'good' });
    t.match(await box.json(['drive', 'check', id(12)]), { state: 'good', leakedClusters: 0 });
    await setRefcount(file(12, 'qcow2'), 'free', 1);
    t.match(await box.json(['drive', 'check', id(12)]), { state: 'leaks', leakedClusters: 1, repaired: false });
    t.match(await box.json(['drive', 'check', id(12), '--repair']), { repaired: true });
    t.match(await box.json(['drive', 'check', id(12)]), { state: 'good' });
    await setRefcount(file(12, 'qcow2'), 'used', 0);
    const damaged = await box.agent(['drive', 'check', id(12), '--repair']);
    t.match(damaged, { exitCode: 65, stdout: /damaged/, stderr: /Copy it away/ });
    t.match(await refusal('check', id(12)), { code: 'bad-data' }, 'and was not touched');
    await truncate(file(11, 'raw'), 63 * MIB);
    t.match(await refusal('check', id(11)), { code: 'bad-data' }, 'raw that lacks its end');
    await truncate(file(11, 'raw'), 64 * MIB);
  });

  /** Opens a qcow2 file as a machine does: QEMU takes its lock. */
  const openFile = async (n: number) => {
    const holder = spawn('qemu-io', ['-f', 'qcow2', file(n, 'qcow2')], { stdio: ['pipe', 'pipe', 'ignore'] });
    t.teardown(() => holder.kill());
    await once(holder.stdout, 'data'); // its prompt: the file is open
    const close = async () => {
      holder.stdin.end('quit\n');
      await once(holder, 'exit');
    };
    return { pid: holder.pid, close };
  };

  await t.test('H3: what somebody else has open is left alone, and who that is is said', async (t) => {
    await drive('create', '16MiB', '--id', id(13));
    const holder = await openFile(13);
    const busy = { code: 'busy', message: new RegExp(`process ${holder.pid} \\(qemu-io\\)`) };
    t.match(await refusal('delete', id(13), '--confirm', id(13)), busy);
    t.match(await refusal('convert', id(13), '--format', 'raw'), busy);
    t.match(await refusal('attach', id(13), A), busy);
    for (const which of [[], ['--inactive']]) t.notMatch(await box.virsh('dumpxml', A, ...which), id(13));
    await holder.close();
    t.match(await box.json(['drive', 'attach', id(13), A]), { vmId: A });
    await box.json(['drive', 'detach', id(13), A]);
  });

  await t.test('H3: a VM that is off learns at its start that somebody else has its drive', async (t) => {
    await box.json(['vm', 'shutdown', A, '--wait', '0', '--force']);
    await box.json(['drive', 'attach', id(13), A]);
    const holder = await openFile(13);
    t.match(await refusalOf(box, ['vm', 'start', A]), {
      code: 'busy',
      message: new RegExp(`${A} cannot start: .*${id(13)}.*qemu-io`),
    });
    await holder.close();
    t.match(await box.json(['vm', 'start', A]), { state: 'running' });
    await box.json(['drive', 'detach', id(13), A]);
  });

  await t.test('H3: twenty times in and out; and while libvirtd is restarted', async (t) => {
    for (let i = 0; i < 20; i++) {
      await box.json(['drive', 'attach', id(11), A]);
      await box.json(['drive', 'detach', id(11), A]);
    }
    await box.json(['drive', 'attach', id(11), A]);
    const startAgain = await box.stopLibvirt();
    const detached = box.json(['drive', 'detach', id(11), A]);
    await startAgain();
    t.match(await detached, { vmId: A, state: 'running', attached: [] });
  });

  await t.test('H1: a pool that is not mounted, or another one: nothing is made, deleted or forgotten', async (t) => {
    const aside = `${box.drives}.aside`;
    await rename(box.drives, aside);
    t.match(await refusal('delete', id(11), '--confirm', id(11)), { code: 'bad-config' }, 'no folder');
    await mkdir(box.drives);
    for (const args of [
      ['delete', id(11), '--confirm', id(11)],
      ['create', '16MiB'],
      ['resize', id(11), '96MiB'],
    ])
      t.match(
        await refusal(...args),
        { code: 'wrong-state', message: /marker .* is missing/, hint: /Mount/ },
        args.join(' '),
      );
    t.match(await refusalOf(box, ['vm', 'delete', A]), { code: /wrong-state/ });
    t.match(await box.json(['pool', 'list']), [{ name: 'images' }, { name: 'drives', problem: { message: /marker/ } }]);
    t.match(JSON.stringify(await box.json(['reconcile'])), /marker/);
    t.match((await box.agent(['doctor'])).stdout, /FAIL +drives pool/);
    await rm(box.drives, { recursive: true });
    await rename(aside, box.drives);
    t.match(await drive('info', id(11)), { sizeBytes: 64 * MIB }, 'it was not forgotten');
    const [, pool] = (await box.json(['pool', 'list'])) as { id: string; freeBytes: number }[];
    t.match(pool, { id: /^pool-/ });
    const report = await box.json(['report']);
    t.match(report, { utilisation: { pools: [{ name: 'images' }, { name: 'drives', id: pool?.id }] } });
    t.match(await box.json(['drive', 'delete', id(11), '--confirm', id(11)]), { deleted: id(11) });
    await rm(join(box.drives, '.vmc-pool'));
    t.match(await refusal('create', '16MiB'), { code: 'wrong-state' });
    t.match(await box.json(['pool', 'init', 'drives']), { name: 'drives', id: /^pool-/ });
    await drive('create', '16MiB', '--id', id(20));
  });

  await t.test('a file that leads to another is not taken over', async (t) => {
    const other = file(21, 'qcow2');
    await run({
      file: 'qemu-img',
      args: ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', file(20, 'qcow2'), other],
      timeoutMs: 10_000,
    });
    const adopt = ['adopt', id(21), '--format', 'qcow2', '--confirm', id(21)];
    t.match(await refusal(...adopt), { code: 'bad-data', message: /leads to other files/ });
    t.match(await refusal('adopt', id(21), '--format', 'raw', '--confirm', id(21)), { code: 'not-found' });
    t.equal((await stat(other)).isFile(), true);
    // One of ours, that something else has changed since.
    const own = file(20, 'qcow2');
    await run({
      file: 'qemu-img',
      args: ['rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', '/etc/shadow', own],
      timeoutMs: 10_000,
    });
    for (const args of [
      ['attach', id(20), A],
      ['convert', id(20), '--format', 'raw'],
    ])
      t.match(await refusal(...args), { code: 'bad-data', message: /leads to other files/ }, args.join(' '));
    await run({ file: 'qemu-img', args: ['rebase', '-u', '-f', 'qcow2', '-b', '', own], timeoutMs: 10_000 });
    await box.json(['drive', 'attach', id(20), A]);
  });
});

/** In a qcow2 file with 16-bit reference counts and one block of them. https://www.qemu.org/docs/master/interop/qcow2.html */
async function setRefcount(path: string, which: 'used' | 'free', count: number): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    const at = async (offset: number) =>
      Number((await handle.read(Buffer.alloc(8), 0, 8, offset)).buffer.readBigUInt64BE());
    const block = await at(await at(48));
    const { size } = await handle.stat();
    const cluster = which === 'free' ? Math.ceil(size / 65536) + 3 : (await at(40)) / 65536; // where its first table is
    const value = Buffer.alloc(2);
    value.writeUInt16BE(count);
    await handle.write(value, 0, 2, block + cluster * 2);
    // A leaked cluster is one that the file has.
    if (which === 'free') await handle.truncate((cluster + 1) * 65536);
  } finally {
    await handle.close();
  }
}
