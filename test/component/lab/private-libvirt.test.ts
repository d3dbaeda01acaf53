import { stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import t from 'tap';
import { openLab, processesIn } from '../../../lab/leftovers.ts';
import { createNetwork } from '../../../lab/namespaces.ts';
import { startPrivateLibvirt } from '../../../lab/private-libvirt.ts';
import { makeFolder } from '../../../shared/files.ts';
import { run } from '../../../shared/run.ts';
import { Undo } from '../../../shared/undo.ts';

// What libvirtd learns of QEMU takes it 8 s; the demo and the tests share it.
const cacheDir = resolve(import.meta.dirname, '../../../.build/cache');

t.test('a private libvirt: answers from anywhere, keeps its network to itself, ends with all it started', async (t) => {
  await makeFolder(cacheDir, 0o755);
  const lab = await openLab();
  const undo = new Undo();
  t.teardown(async () => {
    await undo.rollBack();
    await lab.remove();
  });
  const { vmhost } = await createNetwork(lab, undo);
  const libvirt = await startPrivateLibvirt(lab, vmhost, undo, cacheDir);
  const virsh = (args: readonly string[]) =>
    run({ file: 'virsh', args: ['--quiet', '--connect', libvirt.uri, ...args], timeoutMs: 20_000 });
  t.equal((await virsh(['net-list', '--all', '--name'])).stdout.trim(), '', 'none of the machine’s networks');
  const network = `<network><name>t</name><bridge name='vmct0'/><ip address='10.99.7.1' netmask='255.255.255.0'>
    <dhcp><range start='10.99.7.10' end='10.99.7.20'/></dhcp></ip></network>`;
  const xml = join(lab.folder, 'network.xml');
  await writeFile(xml, network);
  await virsh(['net-create', xml]);
  const links = (args: readonly string[]) => run({ file: 'ip', args: [...args, '-br', 'link'], timeoutMs: 5000 });
  t.match((await links(['-n', vmhost])).stdout, 'vmct0', 'the bridge is in the namespace');
  t.notMatch((await links([])).stdout, 'vmct0', 'and not outside');

  const [file, ...args] = libvirt.enter;
  await run({ file, args: [...args, 'test', '-S', '/run/libvirt/libvirt-sock'], timeoutMs: 5000 });
  t.equal((await stat(join(lab.folder, 'libvirt/run/libvirt-sock'))).mode & 0o077, 0, 'root’s alone');

  await libvirt.stop();
  await libvirt.stop();
  t.strictSame(await processesIn(vmhost), [], 'dnsmasq is gone too');
});
