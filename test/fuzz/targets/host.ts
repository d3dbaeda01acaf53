/** What the host agent and connect read: answers of tools, of libvirt and of the backend, and their own files. */

import { backendUrlSchema } from '../../../connect/folder.ts';
import { knownVmsSchema } from '../../../connect/known-vms.ts';
import { holdersOf, parseInventory } from '../../../host-agent/domains/inventory.ts';
import { parseImageInfo } from '../../../host-agent/drives/qemu-img.ts';
import { parseNetwork } from '../../../host-agent/network/network-xml.ts';
import { driveRecordSchema, vmRecordSchema } from '../../../host-agent/state/records.ts';
import { hostReportSchema } from '../../../shared/agent-api/index.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { driveIdSchema, vmIdSchema } from '../../../shared/names.ts';
import { parseJson } from '../../../shared/validate.ts';
import { bytesOf, insist, type Target, textOf, verdict } from '../target.ts';
import { vm } from './people.ts';

const domain = (name: string, disks: string) => `<domain type='qemu' id='1'>
  <name>${name}</name>
  <devices>
${disks}    <controller type='pci' index='0' model='pcie-root'/>
  </devices>
</domain>
`;
const disk = `    <disk type='file' device='disk'>
      <source file='/d/a.qcow2' index='1'/>
      <serial>drv0123456789abcdef</serial><readonly/>
      <address type='drive' controller='0' bus='0' target='1' unit='0'/>
    </disk>
`;
const inventory = `running\n\n${domain('vm-a', disk)}\n${domain('vm-a', '')}\nshut off\n\n${domain('vm-b', '')}\n${domain('vm-b', disk)}\n`;
const network =
  "<network><name>vmc</name><bridge name='vmcbr0'/><ip address='10.92.0.1'><dhcp><host mac='52:AA:00:00:00:01' name='vm-a' ip='10.92.0.9'/></dhcp></ip></network>";
const XML_WORDS = [
  '<!DOCTYPE a [<!ENTITY b "c">]>',
  '<!ENTITY',
  '&b;',
  '&amp;',
  '&#0;',
  '&#x110000;',
  '<![CDATA[',
  ']]>',
  '<!--',
  '-->',
].concat([
  '<?xml version="1.0"?>',
  '<__proto__>',
  '</domain>',
  '<domain>',
  '<disk',
  '/>',
  'constructor',
  'running\n',
  'shut off\n',
]);
const report = {
  version: '0.1.0',
  libvirt: { ok: true, version: '9.0.0' },
  utilisation: {
    cores: 8,
    load1: 0.5,
    memoryBytes: 1e10,
    memoryFreeBytes: 1e9,
    pools: [{ name: 'drives', sizeBytes: 1, freeBytes: 1 }],
  },
  vms: [{ vmId: 'vm-0123456789ab', state: 'running', address: '10.92.0.9', hostPort: 6000, attached: [] }],
};
const vmRecord = {
  spec: { vmId: 'vm-0123456789ab', image: 'debian-12', cores: 2, memoryMiB: 2048 },
  address: '10.92.0.9',
  mac: '52:23:45:67:89:ab',
  hostPort: 6000,
  createdAt: 1,
};

export const hostTargets: Target[] = [
  {
    name: 'host/qemu-img',
    from: 'peer',
    form: 'json',
    weight: 10,
    maxBytes: 65_536,
    open: () => ({
      seeds: [bytesOf({ 'virtual-size': 67108864, filename: 'x', format: 'qcow2', 'full-backing-filename': '/b' })],
      run: (input) =>
        verdict(() => {
          const { sizeBytes } = parseImageInfo(textOf(input));
          insist(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0, 'a size');
        }),
    }),
  },
  {
    name: 'host/libvirt-domains',
    from: 'file',
    form: 'text',
    weight: 0,
    maxBytes: 65_536,
    words: XML_WORDS,
    open: () => ({
      seeds: [
        utf8(inventory),
        utf8(`paused\n\n${domain('x', "<disk type='network'><source name='a'/></disk>\n")}\n${domain('x', '')}\n`),
      ],
      run: (input) =>
        verdict(() => {
          const domains = parseInventory(textOf(input));
          holdersOf(domains, 'drv0123456789abcdef', '/d/a.qcow2');
          return domains.length > 0;
        }),
    }),
  },
  {
    name: 'host/libvirt-network',
    from: 'file',
    form: 'text',
    weight: 0,
    maxBytes: 65_536,
    words: XML_WORDS,
    open: () => ({ seeds: [utf8(network)], run: (input) => verdict(() => parseNetwork(textOf(input))) }),
  },
  {
    name: 'host/records',
    from: 'file',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({
      seeds: [
        bytesOf(vmRecord),
        bytesOf({ driveId: 'drv0123456789abcdef', format: 'raw', sizeBytes: 2 ** 30, createdAt: 1 }),
      ],
      run: (input) => {
        const drive = verdict(() => parseJson(driveRecordSchema, textOf(input), 'The record'));
        return drive === 'accepted' ? drive : verdict(() => parseJson(vmRecordSchema, textOf(input), 'The record'));
      },
    }),
  },
  {
    name: 'backend/host-report',
    from: 'peer',
    form: 'json',
    weight: 3,
    maxBytes: 65_536,
    open: () => ({
      seeds: [bytesOf(report)],
      run: (input) => verdict(() => parseJson(hostReportSchema, textOf(input), 'The report')),
    }),
  },
  {
    name: 'connect/known-vms',
    from: 'file',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({
      seeds: [
        bytesOf({
          'vm-0123456789ab': {
            name: 'a',
            ed25519: vm.public.ed25519.toBase64(),
            fingerprint: fingerprint(vm.public.ed25519),
          },
          'vm-0123456789ac': { name: 'b' },
        }),
      ],
      run: (input) => verdict(() => parseJson(knownVmsSchema, textOf(input), 'known-vms.json')),
    }),
  },
  {
    name: 'names/ids-and-urls',
    from: 'stranger',
    form: 'text',
    weight: 10,
    maxBytes: 65_536,
    words: ['https://', '@', '#', '?', '%00', '\\', '//', '[::1]', 'xn--'],
    open: () => ({
      seeds: ['https://backend.example:8443', 'vm-0123456789ab', 'drv0123456789abcdef', 'https://u@h/p?q#f'].map(utf8),
      run: (input) => {
        const text = textOf(input);
        const url = backendUrlSchema.safeParse(text);
        if (url.success) insist(/^https:\/\/[^/@?#]+$/.test(url.data), `an origin and nothing more: ${url.data}`);
        for (const id of [vmIdSchema, driveIdSchema])
          if (id.safeParse(text).success) insist(/^[a-z0-9-]+$/.test(text), 'an id is safe in a path');
        return url.success || vmIdSchema.safeParse(text).success ? 'accepted' : 'refused:no';
      },
    }),
  },
];
