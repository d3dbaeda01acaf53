import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { redactBootstrap } from '../../../host-agent/cli/vm.ts';
import { type DomainPlan, diskName, diskXml, domainXml, uuidOf } from '../../../host-agent/domains/domain-xml.ts';
import { parseDomain } from '../../../host-agent/domains/inventory.ts';

const golden = (name: string) => readFile(join(import.meta.dirname, 'golden', name), 'utf8');

const plan: DomainPlan = {
  vmId: 'vm-0123456789ab',
  cores: 2,
  memoryMiB: 2048,
  accelerator: 'tcg',
  boot: {
    kernel: '/images/debian.vmlinuz',
    initrd: '/images/debian.initrd',
    cmdline: 'root=LABEL=root ro console=ttyS0',
  },
  rootDisk: '/drives/vm-0123456789ab-root.qcow2',
  cache: 'none',
  network: 'vmc',
  mac: '52:23:45:67:89:ab',
  address: '10.92.0.10',
  consoleLog: '/var/lib/vmc-host/console/vm-0123456789ab.log',
  bootstrap: '{"version":1}',
};

t.test('H2: a domain that boots a kernel directly, emulated', async (t) => {
  t.equal(domainXml(plan), await golden('domain-direct.xml'));
});

t.test('H2: a domain that boots from its disk, with KVM', async (t) => {
  t.equal(
    domainXml({ ...plan, boot: undefined, accelerator: 'kvm', cache: 'writeback' }),
    await golden('domain-disk.xml'),
  );
});

t.test('H3: a drive: its id is the serial, discard reaches the file', async (t) => {
  const xml = diskXml({
    file: '/drives/drv0123456789abcdef.raw',
    format: 'raw',
    cache: 'none',
    serial: 'drv0123456789abcdef',
    scsiTarget: 3,
    readOnly: true,
  });
  t.equal(xml, await golden('disk.xml'));
});

t.test('what has a meaning in XML is escaped', async (t) => {
  const cmdline = `a="<&>'" b`;
  const xml = domainXml({ ...plan, boot: { kernel: '/k', initrd: '/i', cmdline } });
  t.notMatch(xml, '<&>');
  t.match(xml, '&lt;&amp;&gt;');
});

t.test('what is built can be read back', async (t) => {
  t.strictSame(parseDomain(domainXml(plan)), {
    name: 'vm-0123456789ab',
    disks: [
      { file: '/drives/vm-0123456789ab-root.qcow2', format: 'qcow2', serial: 'root', scsiTarget: 0, readOnly: false },
    ],
  });
});

t.test('disk names count as the kernel counts', async (t) => {
  t.strictSame([0, 25, 26, 51, 52, 254].map(diskName), ['sda', 'sdz', 'sdaa', 'sdaz', 'sdba', 'sdiu']);
});

t.test('a UUID follows from the id', async (t) => {
  t.match(uuidOf('vm-0123456789ab'), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.equal(uuidOf('vm-0123456789ab'), uuidOf('vm-0123456789ab'));
  t.not(uuidOf('vm-0123456789ab'), uuidOf('vm-0123456789ac'));
});

t.test('the document that people see has no bootstrap in it', async (t) => {
  const shown = redactBootstrap(domainXml(plan));
  t.notMatch(shown, Buffer.from(plan.bootstrap).toString('base64'));
  t.match(shown, 'vmc.bootstrap=[bootstrap]</entry>');
});
