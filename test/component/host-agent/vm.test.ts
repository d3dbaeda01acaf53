/** A whole life of VMs and drives on a libvirt of the test's own. The machines run SeaBIOS on a blank disk: nothing needs to boot. */
import { copyFile, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import * as z from 'zod';
import { driveFileSchema, vmStatusSchema } from '../../../shared/agent-api/index.ts';
import { BACKEND_URL, bootstrapFor, createVmArgs, type HostBox, makeHostBox } from './support/host-box.ts';
import { refusalOf } from './support/refusal.ts';
import { daemonStoppedAfter } from './support/stopped-daemon.ts';

const [A, B, C] = ['vm-aaaaaaaaaaaa', 'vm-bbbbbbbbbbbb', 'vm-cccccccccccc'];
const [D1, D2] = ['drv0000000000000001', 'drv0000000000000002'];

const crash = (box: HostBox, step: string, verb: string, id: string, stdin?: string) =>
  box.node('test/component/host-agent/support/create-until.ts', [box.config, step, verb, id], stdin);

t.setTimeout(180_000);

t.test('VMs and drives', async (t) => {
  const box = await makeHostBox({ libvirt: true });
  t.teardown(() => box.remove());
  const vm = async (args: string[], stdin?: string) => vmStatusSchema.parse(await box.json(args, stdin));

  await t.test('H9: the agent ends in the middle of making a VM, twice; it is off, or not there yet', async (t) => {
    for (const [step, state] of [
      ['vm.create:overlay', 'absent'],
      ['vm.create:start', 'off'],
    ] as const) {
      await crash(box, step, 'vm-create', A, bootstrapFor(A));
      t.match(await box.json(['vm', 'list']), [{ vmId: A, state }]);
      const findings = JSON.stringify(await box.json(['reconcile', '--dry-run']));
      if (state === 'absent') t.match(findings, `${A} is recorded`);
    }
  });

  await t.test('H2: repeating it finishes it: it runs, and libvirt found its document valid', async (t) => {
    const made = await vm(createVmArgs(A), bootstrapFor(A));
    t.match(made, { vmId: A, state: 'running', attached: [] });
    const xml = await box.virsh('dumpxml', A);
    t.match(xml, "<port isolated='yes'/>");
    t.match(xml, 'io.systemd.credential.binary:vmc.bootstrap=');
    t.match(xml, /<serial>root<\/serial>/);
    t.match(await box.inNamespace('bridge', '-d', 'link', 'show'), /isolated on/);
    const network = await box.virsh('net-dumpxml', 'vmc');
    t.match(network, new RegExp(`<host mac='52:aa:aa:aa:aa:aa' name='${A}' ip='${made.address}'/>`));
    t.match(
      await box.inNamespace('iptables-save'),
      `--dport ${made.hostPort} -j DNAT --to-destination ${made.address}:22`,
    );
    t.match(await box.inNamespace('ebtables-save'), `--ip-src ! ${made.address} -j DROP`, 'anti-spoofing on its port');
    t.match(await box.agent(['firewall', 'check']), { exitCode: 0 }, 'what was applied is what iptables-save prints');
    t.match(await box.agent(['vm', 'xml', A]), { stdout: /\[bootstrap\]/ });
  });

  await t.test('repeating it changes nothing; another VM of that id is refused', async (t) => {
    t.match(await vm(createVmArgs(A), bootstrapFor(A)), { state: 'running' });
    t.match(await refusalOf(box, [...createVmArgs(A), '--cores', '2'], bootstrapFor(A)), { code: 'already-exists' });
    t.match(await refusalOf(box, createVmArgs(B), bootstrapFor(A)), { code: 'bad-request' });
    const elsewhere = bootstrapFor(B, 'https://192.0.2.99:1');
    t.match(await refusalOf(box, createVmArgs(B), elsewhere), { code: 'bad-request', hint: /publicUrl/ });
    t.match(await refusalOf(box, [...createVmArgs(B), '--image', 'nowhere'], bootstrapFor(B)), {
      code: 'not-found',
      message: /nowhere/,
    });
  });

  await t.test('H1: a drive is blank and sparse', async (t) => {
    const args = ['drive', 'create', '1GiB', '--id', D1];
    const made = driveFileSchema.parse(await box.json(args));
    t.match(made, { driveId: D1, format: 'qcow2', sizeBytes: 1024 ** 3 });
    t.ok(made.allocatedBytes < 1024 * 1024);
    t.strictSame(await box.json(args), made, 'repeating it succeeds');
    t.match(await refusalOf(box, ['drive', 'create', '2GiB', '--id', D1]), { code: 'already-exists' });
    const raw = driveFileSchema.parse(await box.json(['drive', 'create', '32MiB', '--id', D2, '--format', 'raw']));
    t.match(raw, { format: 'raw', sizeBytes: 32 * 1024 ** 2 });
    t.ok(raw.allocatedBytes <= 4096, 'QEMU writes one block to learn its alignment');
    t.match(await refusalOf(box, ['drive', 'create', '50TiB']), { code: 'no-space', message: /are asked for/ });
  });

  await t.test('H3: it is attached live, once, and to one VM', async (t) => {
    await box.json(createVmArgs(B), bootstrapFor(B));
    t.match(await vm(['drive', 'attach', D1, A]), { attached: [{ driveId: D1, readOnly: false }] });
    t.match(await vm(['drive', 'attach', D1, A]), { attached: [{ driveId: D1 }] }, 'repeating it succeeds');
    for (const which of [[], ['--inactive']]) {
      const xml = await box.virsh('dumpxml', A, ...which);
      t.match(xml, `<serial>${D1}</serial>`);
      t.match(xml, /discard='unmap'/);
    }
    t.match(await refusalOf(box, ['drive', 'attach', D1, B]), { code: 'busy', message: new RegExp(A), hint: /detach/ });
    t.match(await refusalOf(box, ['drive', 'attach', D1, B, '--read-only']), { code: 'busy' });
    t.match(await refusalOf(box, ['drive', 'delete', D1, '--confirm', D1]), { code: 'busy', message: new RegExp(A) });
    t.match(driveFileSchema.parse(await box.json(['drive', 'info', D1])), { attachedTo: A });
    t.strictSame((await vm(['vm', 'start', B])).attached, [], 'nothing was changed');
    await vm(['drive', 'attach', D2, A, '--read-only']);
    t.match(await vm(['drive', 'attach', D2, B, '--read-only']), { attached: [{ driveId: D2, readOnly: true }] });
    t.match(await refusalOf(box, ['drive', 'attach', D2, A]), { code: 'wrong-state' });
  });

  await t.test('H3: detach waits until it is gone, here and from the next start', async (t) => {
    const left = await vm(['drive', 'detach', D1, A]);
    t.match(left.attached, [{ driveId: D2 }]);
    for (const which of [[], ['--inactive']]) t.notMatch(await box.virsh('dumpxml', A, ...which), D1);
    t.match(await vm(['drive', 'detach', D1, A]), { attached: [{ driveId: D2 }] }, 'repeating it succeeds');
    t.match(await vm(['drive', 'attach', D1, B]), { vmId: B });
  });

  await t.test('H2: shut down: asked, then cut; its drives are there again after the start', async (t) => {
    t.match(await refusalOf(box, ['vm', 'delete', B]), { code: 'wrong-state' });
    t.match(await refusalOf(box, ['vm', 'shutdown', B, '--wait', '0']), { code: 'timeout', hint: /force/ });
    t.match(await vm(['vm', 'shutdown', B, '--wait', '0', '--force']), { state: 'off' });
    t.match(await vm(['vm', 'shutdown', B]), { state: 'off' }, 'it is off already');
    t.match(await vm(['drive', 'detach', D1, B]), { attached: [{ driveId: D2 }] }, 'from a VM that is off');
    await vm(['drive', 'attach', D1, B]);
    t.match(await vm(['vm', 'start', B]), { state: 'running', attached: [{ driveId: D2 }, { driveId: D1 }] });
  });

  await t.test('H3: what was done to a drive’s file while its VM was off is seen before it starts', async (t) => {
    const secret = join(box.folder, 'secret');
    await writeFile(secret, 'of the host');
    const [file, kept] = [join(box.drives, `${D1}.qcow2`), join(box.folder, 'kept')];
    await vm(['vm', 'shutdown', B, '--wait', '0', '--force']);
    const refused = { code: 'bad-data', message: new RegExp(`${file} leads to other files`) };
    await copyFile(file, kept);
    await box.inNamespace('qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', secret, '-F', 'raw', file);
    t.match(await refusalOf(box, ['vm', 'start', B]), refused, 'a backing file');
    t.match(await refusalOf(box, createVmArgs(B), bootstrapFor(B)), refused, 'nor by making it again');
    await rm(file);
    await box.inNamespace('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', `data_file=${kept}.data`, file, '1G');
    t.match(await refusalOf(box, ['vm', 'start', B]), refused, 'a data file');
    await rm(file);
    await symlink(secret, file);
    t.match(await refusalOf(box, ['vm', 'start', B]), refused, 'a link');
    await rm(file);
    t.match(await refusalOf(box, ['vm', 'start', B]), { code: 'not-found', message: new RegExp(file) });
    await rename(kept, file);
    t.match(await vm(['vm', 'start', B]), { state: 'running', attached: [{ driveId: D2 }, { driveId: D1 }] });
    t.match(
      await box.virsh('dumpxml', B, '--inactive'),
      '<backingStore/>',
      'and QEMU is told that there is nothing else',
    );
  });

  await t.test('H9: … or of deleting it: repeating removes the rest', async (t) => {
    await crash(box, 'vm.create:start', 'vm-create', C, bootstrapFor(C));
    await crash(box, 'vm.delete:overlay', 'vm-delete', C);
    t.match(await box.agent(['vm', 'delete', C]), { exitCode: 0 });
    t.match(await refusalOf(box, ['vm', 'delete', C]), { code: 'not-found' });
    t.notOk(
      (await readdir(box.drives)).some((name) => name.startsWith(C)),
      'no overlay is left',
    );
    t.notMatch(await box.virsh('net-dumpxml', 'vmc'), C);
    t.match(await box.agent(['firewall', 'check']), { exitCode: 0 });
  });

  await t.test('H9: … and of making or deleting a drive', async (t) => {
    const id = 'drv0000000000000003';
    await crash(box, 'drive.create:file', 'drive-create', id);
    t.match(await refusalOf(box, ['drive', 'info', id]), { code: 'not-found', hint: /drive list/ });
    t.match(await box.json(['drive', 'create', '16MiB', '--id', id, '--format', 'raw']), { driveId: id });
    await crash(box, 'drive.delete:record', 'drive-delete', id);
    t.match(await box.agent(['drive', 'delete', id, '--confirm', id]), { exitCode: 0 });
    t.notOk((await readdir(box.drives)).includes(`${id}.raw`));
  });

  await t.test('a VM that fails to start leaves nothing', async (t) => {
    await writeFile(join(box.folder, 'images/odd.qcow2'), 'not an image');
    t.match(await refusalOf(box, [...createVmArgs(C), '--image', 'odd'], bootstrapFor(C)), { code: 'command-failed' });
    t.notOk((await readdir(box.drives)).some((name) => name.startsWith(C)));
    t.notOk((await readdir(join(box.stateDir, 'vms'))).includes(`${C}.json`));
    await writeFile(join(box.folder, 'images/half.qcow2'), '');
    await writeFile(join(box.folder, 'images/half.vmlinuz'), '');
    t.match(await refusalOf(box, [...createVmArgs(C), '--image', 'half'], bootstrapFor(C)), {
      code: 'bad-data',
      message: /not whole/,
    });
  });

  await t.test('H9: a VM that fails after its start is not left running without its disk', async (t) => {
    const script = 'test/component/host-agent/support/create-until.ts';
    const failed = await box.node(script, [box.config, 'vm.create:done', 'vm-create', C, 'fail'], bootstrapFor(C));
    t.match(failed, { exitCode: 1, stderr: /as asked/ });
    t.notMatch(await box.virsh('list', '--all', '--name'), C);
    t.notOk((await readdir(box.drives)).some((name) => name.startsWith(C)));
  });

  await t.test('H7: reconcile puts right what is safe', async (t) => {
    await box.inNamespace('iptables', '-F', 'VMC-FORWARD');
    await box.virsh('net-destroy', 'vmc');
    await writeFile(join(box.drives, `.${A}-root.qcow2.0123456789ab.tmp`), '');
    const findings = z.array(z.object({ outcome: z.string(), what: z.string() })).parse(await box.json(['reconcile']));
    const all = findings.map((it) => `${it.outcome} ${it.what}`).join('\n');
    t.match(all, /repaired firewall: iptables filter VMC-FORWARD: missing rule/);
    t.match(all, 'repaired started the network vmc');
    t.match(all, /repaired unfinished file .*0123456789ab.tmp/);
    // Another backend address: VMs may reach that one, and find it by its name.
    const moved = join(box.folder, 'moved.toml');
    await writeFile(moved, (await readFile(box.config, 'utf8')).replace(BACKEND_URL, 'https://10.91.2.77:8443'));
    const findingsAfter = JSON.stringify(await box.json(['--config', moved, 'reconcile']));
    t.match(findingsAfter, 'added the DNS answer backend.vmc → 10.91.2.77');
    t.match(findingsAfter, 'ipset vmc-allowed: has other members');
    await box.json(['reconcile']);
    t.strictSame(await box.json(['reconcile']), [], 'the second time there is nothing to do');
  });

  await t.test('H10: told to stop while it listens to libvirt, the daemon ends in order', async (t) => {
    const { seen, ended } = await daemonStoppedAfter(box, ['not-linked', 'accelerator']);
    t.strictSame(ended, [0, null]);
    t.ok(seen.has('stopped'));
  });
});
