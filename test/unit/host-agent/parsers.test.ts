import t from 'tap';
import { holdersOf, onlyLackSpace, parseInventory } from '../../../host-agent/domains/inventory.ts';
import {
  imageTrouble,
  parseImageCheck,
  parseImageInfo,
  parsePercent,
} from '../../../host-agent/drives/parse-qemu-img.ts';
import { checkRealSpace, checkSpace, wholeFileBytes } from '../../../host-agent/drives/space.ts';
import { imageOptions } from '../../../host-agent/drives/tuning.ts';
import { antiSpoofingXml, networkXml, parseNetwork } from '../../../host-agent/network/network-xml.ts';
import { subnetOf } from '../../../host-agent/network/subnet.ts';
import { checkHolders } from '../../../host-agent/vms/attach.ts';

const document = (name: string, disks: string) => `<domain type='qemu' id='1'>
  <name>${name}</name>
  <devices>
${disks}    <controller type='pci' index='0' model='pcie-root'/>
  </devices>
</domain>
`;
const drive = (file: string, serial: string, target: number, extra = '') => `    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='${file}' index='1'/>
      <backingStore type='file'><source file='/other.qcow2'/></backingStore>
      <serial>${serial}</serial>${extra}
      <address type='drive' controller='0' bus='0' target='${target}' unit='0'/>
    </disk>
`;

t.test('H3: domains as virsh prints several at once', async (t) => {
  const one = drive('/d/a.qcow2', 'drv0123456789abcdef', 1);
  const text = `running\n\n${document('vm-a', one)}\n${document('vm-a', '')}\nshut off\n\n${document('vm-b', '')}\n${document('vm-b', drive('/d/b.raw', 'x', 2, '<readonly/>'))}\n`;
  const domains = parseInventory(text);
  t.match(domains, [
    { name: 'vm-a', state: 'running', config: [] },
    { name: 'vm-b', state: 'off', live: [] },
  ]);
  t.strictSame(domains[0]?.live, [
    { file: '/d/a.qcow2', format: 'raw', serial: 'drv0123456789abcdef', scsiTarget: 1, readOnly: false },
  ]);
  t.strictSame(domains[1]?.config, [{ file: '/d/b.raw', format: 'raw', serial: 'x', scsiTarget: 2, readOnly: true }]);
  t.strictSame(holdersOf(domains, 'drv0123456789abcdef', '/nowhere'), [{ domain: 'vm-a', readOnly: false }]);
  t.strictSame(holdersOf(domains, 'drvffffffffffffffff', '/d/b.raw'), [{ domain: 'vm-b', readOnly: true }]);
});

t.test('a domain that vanished between two answers is left out', async (t) => {
  t.strictSame(parseInventory(`running\n\n${document('vm-a', '')}\nshut off\n`), []);
  t.strictSame(parseInventory(''), []);
});

t.test('a domain without devices, with a drive that is no file', async (t) => {
  const text = `paused\n\n${document('x', "<disk type='network'><source protocol='rbd' name='a'/></disk>\n")}\n${document('x', '')}\n`;
  t.match(parseInventory(text), [{ name: 'x', state: 'paused', live: [] }]);
});

t.test('H3: read-write for one, read-only for many, never both', async (t) => {
  const [a, b] = ['vm-a', 'vm-b'];
  const readOnly = { domain: a, readOnly: true };
  const readWrite = { domain: a, readOnly: false };
  t.doesNotThrow(() => checkHolders([], 'd', b, false));
  t.doesNotThrow(() => checkHolders([readOnly], 'd', b, true));
  t.throws(() => checkHolders([readOnly], 'd', b, false), { code: 'busy', message: /vm-a read-only/ });
  t.throws(() => checkHolders([readWrite], 'd', b, true), { code: 'busy', message: /vm-a read-write/ });
  t.throws(() => checkHolders([readWrite], 'd', b, false), { code: 'busy', hint: /detach d vm-a/ });
  t.doesNotThrow(() => checkHolders([readWrite], 'd', a, false), 'attached so already');
  t.throws(() => checkHolders([readWrite], 'd', a, true), { code: 'wrong-state' });
});

t.test('H1: what qemu-img says', async (t) => {
  const json =
    '{"virtual-size": 67108864, "filename": "x", "format": "qcow2", "actual-size": 200704, "full-backing-filename": "/b"}';
  t.strictSame(parseImageInfo(json), {
    sizeBytes: 67108864,
    format: 'qcow2',
    backingFile: '/b',
    dataFile: undefined,
  });
  t.throws(() => parseImageInfo('{"format":"raw"}'), { code: 'bad-data' });
  t.throws(() => parseImageInfo('oops'), { code: 'bad-data' });
  const elsewhere = '{"virtual-size": 1, "format": "qcow2", "format-specific": {"data": {"data-file": "/etc/shadow"}}}';
  t.match(parseImageInfo(elsewhere), { dataFile: '/etc/shadow' });
  t.equal(imageOptions('raw', 'sparse'), 'preallocation=off');
  t.match(imageOptions('qcow2', 'full'), /^preallocation=full,.*cluster_size=/);
});

t.test('H1: what qemu-img check finds', async (t) => {
  t.strictSame(parseImageCheck('{"check-errors": 0, "allocated-clusters": 3}'), {
    state: 'good',
    leakedClusters: 0,
    corruptions: 0,
    repaired: false,
  });
  t.match(parseImageCheck('{"check-errors": 0, "leaks": 2}'), { state: 'leaks', leakedClusters: 2 });
  t.match(parseImageCheck('{"check-errors": 0, "leaks": 2, "corruptions": 1}'), { state: 'damaged', corruptions: 1 });
  t.match(parseImageCheck('{"check-errors": 1}'), { state: 'damaged', corruptions: 1 });
  t.match(parseImageCheck('{"check-errors": 0, "leaks-fixed": 2}'), { state: 'good', repaired: true });
});

t.test('how far qemu-img is: the last of what came at once', async (t) => {
  t.equal(parsePercent('    (1.00/100%)\r    (12.34/100%)\r'), 12.34);
  t.equal(parsePercent('    (100.00/100%)\r\n'), 100);
  t.equal(parsePercent('Images are identical.'), undefined);
});

t.test('H3: what QEMU says when somebody has the file, or the disk is full', async (t) => {
  for (const text of [
    'Failed to get "write" lock',
    'Failed to get shared "write" lock',
    'Failed to get "consistent read" lock',
  ])
    t.equal(imageTrouble(`blockdev-add: ${text}\nIs another process using the image [/d/x]?`), 'locked');
  t.equal(imageTrouble('error while writing: No space left on device'), 'no-space');
  t.equal(imageTrouble('Permission denied'), undefined);
});

t.test('H1: why QEMU has stopped a machine', async (t) => {
  const text = `paused (I/O error)\n\n${document('vm-a', '')}\n${document('vm-a', '')}\npaused (user)\n\n${document('vm-b', '')}\n${document('vm-b', '')}\nrunning (booted)\n\n${document('vm-c', '')}\n${document('vm-c', '')}\n`;
  t.strictSame(
    parseInventory(text).map((it) => [it.name, it.state, it.pausedBecause]),
    [
      ['vm-a', 'paused', 'io-error'],
      ['vm-b', 'paused', undefined],
      ['vm-c', 'running', undefined],
    ],
  );
  t.equal(onlyLackSpace('sda: no space\n'), true);
  t.equal(onlyLackSpace('sda: no space\nsdb: unspecified error\n'), false);
  t.equal(onlyLackSpace('No errors found\n'), false);
});

t.test('H1: a pool without space says what is needed and what there is', async (t) => {
  const rules = { reserve: 1024 ** 3, overcommit: 10 };
  const gib = 1024 ** 3;
  t.doesNotThrow(() => checkSpace('/p', 20 * gib, 2 * gib, rules));
  t.throws(() => checkSpace('/p', 20 * gib + 1, 2 * gib, rules), {
    code: 'no-space',
    message: /20480 MiB are asked for.*2048 MiB free/,
  });
  t.throws(() => checkSpace('/p', 0, gib - 1, rules), {
    code: 'no-space',
    message: /1023 MiB free and must keep 1024 MiB/,
  });
});

t.test('H1: what takes its space at once needs all of it, and the reserve besides', async (t) => {
  const mib = 1024 ** 2;
  t.doesNotThrow(() => checkRealSpace('/p', 10 * mib, 12 * mib, 2 * mib));
  t.throws(() => checkRealSpace('/p', 10 * mib + 1, 12 * mib, 2 * mib), { code: 'no-space', message: /12 MiB free/ });
  t.ok(wholeFileBytes(1024 ** 4) > 1024 ** 4 + 1024 ** 4 / 4096, 'tables of qcow2');
});

t.test('the network: no rules of libvirt, no upstream DNS, no addresses for strangers', async (t) => {
  const xml = networkXml({
    name: 'vmc',
    bridge: 'vmcbr0',
    subnet: subnetOf('10.92.0.0/24'),
    backendName: 'backend.example',
    backendAddresses: ['198.51.100.7'],
  });
  t.match(xml, '<forward mode="open"/>');
  t.match(xml, 'no-resolv');
  t.notMatch(xml, '<range');
  t.strictSame(parseNetwork(xml), {
    bridge: 'vmcbr0',
    gateway: '10.92.0.1',
    names: [{ name: 'backend.example', address: '198.51.100.7' }],
    reservations: [],
  });
  t.strictSame(
    parseNetwork(
      "<network><ip address='10.92.0.1'><dhcp><host mac='52:AA:00:00:00:01' name='vm-a' ip='10.92.0.9'/></dhcp></ip></network>",
    ).reservations,
    [{ mac: '52:aa:00:00:00:01', address: '10.92.0.9', name: 'vm-a' }],
  );
});

t.test('H5: the anti-spoofing filter ends with a rule that drops the rest', async (t) => {
  t.match(antiSpoofingXml(), /<rule action="drop" direction="inout" priority="1000"\/>\s*<\/filter>/);
});
