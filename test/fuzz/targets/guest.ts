/** What vmc reads in the VM, of which the host decides much: disks and their headers, mounts, the network, its bootstrap. */
import { readFileSync } from 'node:fs';
import { configSchema as backendSchema } from '../../../backend/config.ts';
import { configSchema as agentSchema } from '../../../host-agent/config.ts';
import { encodeBootstrap } from '../../../shared/bootstrap.ts';
import { utf8 } from '../../../shared/bytes.ts';
import { parseToml } from '../../../shared/config/load-toml.ts';
import { configSchema } from '../../../vmc/config.ts';
import { parseBlkid } from '../../../vmc/drives/parse-blkid.ts';
import { driveIdOfLink } from '../../../vmc/drives/parse-links.ts';
import { composeMetadata, parseMetadata } from '../../../vmc/drives/parse-luks-binary.ts';
import { checkLuksHeader } from '../../../vmc/drives/parse-luks-header.ts';
import { parseMountinfo } from '../../../vmc/drives/parse-mountinfo.ts';
import { parseSuperblock, SUPERBLOCK_BYTES } from '../../../vmc/drives/parse-superblock.ts';
import { parseTrimmedBytes } from '../../../vmc/drives/parse-tools.ts';
import { gateways, nameservers } from '../../../vmc/firewall/parse-network.ts';
import { listeningInodes, socketInode } from '../../../vmc/port22/parse-proc-net.ts';
import { parseBootstrap } from '../../../vmc/state/read-bootstrap.ts';
import { bytesOf, insist, type Target, textOf, verdict } from '../target.ts';
import { alice } from './people.ts';

const slot = {
  type: 'luks2',
  key_size: 64,
  af: { type: 'luks1', stripes: 4000, hash: 'sha256' },
  area: { type: 'raw', offset: '32768', size: '258048', encryption: 'aes-xts-plain64', key_size: 64 },
  kdf: { type: 'pbkdf2', hash: 'sha256', iterations: 1000, salt: 'AAAA' },
};
const luksHeader = {
  keyslots: { '0': slot, '1': { ...slot, kdf: { type: 'argon2id', time: 4, memory: 65536, cpus: 2, salt: 'AAAA' } } },
  tokens: {},
  segments: {
    '0': {
      type: 'crypt',
      offset: '16777216',
      size: 'dynamic',
      iv_tweak: '0',
      encryption: 'aes-xts-plain64',
      sector_size: 512,
    },
  },
  digests: { '0': { type: 'pbkdf2', keyslots: ['0'], segments: ['0'], hash: 'sha256' } },
  config: { json_size: '12288', keyslots_size: '16744448' },
};
/** Both copies of the metadata, as cryptsetup writes them but for the salt and the UUID. */
function luksMetadata(): Uint8Array {
  const binary = Buffer.alloc(4096);
  binary.writeUInt16BE(2, 6);
  binary.writeBigUInt64BE(16_384n, 8);
  binary.writeBigUInt64BE(3n, 16);
  binary.write('sha256', 72);
  return composeMetadata({ binary, json: JSON.stringify(luksHeader) });
}

const bootstrap = {
  version: 1,
  vm: { id: 'vm-0123456789ab', name: 'analysis' },
  backend: { url: 'https://backend.example:8443', pin: '0'.repeat(64) },
  owner: alice.public,
  enrolToken: new Uint8Array(32).fill(1),
} as const;

const IPV4 = /^(\d{1,3}\.){3}\d{1,3}$/;

export const guestTargets: Target[] = [
  {
    name: 'vmc/bootstrap',
    from: 'host',
    form: 'json',
    weight: 1,
    maxBytes: 65_536,
    open: () => ({
      seeds: [utf8(encodeBootstrap(bootstrap))],
      run: (input) => verdict(() => parseBootstrap(textOf(input), 'vmc.bootstrap')),
    }),
  },
  {
    name: 'vmc/luks-header',
    from: 'host',
    form: 'json',
    weight: 3,
    maxBytes: 65_536,
    open: () => ({
      seeds: [bytesOf(luksHeader)],
      run: (input) =>
        verdict(() => {
          checkLuksHeader(textOf(input), 'drv0123456789abcdef');
          const { keyslots, segments } = JSON.parse(textOf(input)) as typeof luksHeader;
          const ciphers = [
            ...Object.values(segments),
            ...Object.values(keyslots).flatMap(({ type, area }) => (type === 'reencrypt' ? [] : [area])),
          ];
          insist(
            ciphers.every(({ encryption }) => encryption === 'aes-xts-plain64'),
            'no other cipher, the null cipher least of all',
          );
        }),
    }),
  },
  {
    name: 'vmc/luks-metadata',
    from: 'host',
    form: 'bytes',
    weight: 3,
    maxBytes: 32_768,
    open: () => ({
      seeds: [luksMetadata()],
      run: (input) => {
        const found = parseMetadata(input);
        if (found === undefined) return 'refused:no whole copy';
        insist(parseMetadata(composeMetadata(found))?.json === found.json, 'written anew it says the same');
        return 'accepted';
      },
    }),
  },
  {
    name: 'vmc/superblock',
    from: 'host',
    form: 'bytes',
    weight: 3,
    maxBytes: SUPERBLOCK_BYTES,
    words: ['LUKS\xba\xbe\0\x02', 'XFSB', '_BHRfS_M'],
    open: () => ({
      seeds: [Buffer.concat([Buffer.from('XFSB'), Buffer.alloc(SUPERBLOCK_BYTES - 4)])],
      run: (input) => (parseSuperblock(Buffer.from(input)) === undefined ? 'refused:unknown' : 'accepted'),
    }),
  },
  {
    name: 'vmc/blkid',
    from: 'host',
    form: 'text',
    weight: 10,
    maxBytes: 65_536,
    open: () => ({
      seeds: [
        'DEVNAME=/dev/sdb\nUUID=a-b\nVERSION=2\nTYPE=crypto_LUKS\nUSAGE=crypto\n',
        'TYPE=ext4\nUSAGE=filesystem\n',
        'PTTYPE=gpt\n',
      ].map(utf8),
      run: (input) => {
        const found = parseBlkid(textOf(input));
        return found === undefined ? 'refused:nothing' : 'accepted';
      },
    }),
  },
  {
    name: 'vmc/mountinfo',
    from: 'host',
    form: 'text',
    weight: 10,
    maxBytes: 65_536,
    words: [' - ', '\\040', '\\134', 'ro', ','],
    open: () => ({
      seeds: [
        utf8(
          '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n21 1 252:1 / /a\\040b ro - xfs /dev/x ro\n',
        ),
      ],
      run: (input) => {
        const mounts = parseMountinfo(textOf(input));
        insist(
          mounts.every(({ device, root }) => typeof device === 'string' && typeof root === 'string'),
          'whole mounts',
        );
        return mounts.length > 0 ? 'accepted' : 'refused:none';
      },
    }),
  },
  {
    name: 'vmc/proc-net',
    from: 'host',
    form: 'text',
    weight: 10,
    maxBytes: 65_536,
    words: ['\t', '00000000', '0A', ':0016', 'nameserver ', '127.0.0.53'],
    open: () => ({
      seeds: [
        '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000 100 0 0 10 0\n',
        'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n',
        'search x\nnameserver 10.92.0.1\nnameserver 127.0.0.53\nnameserver ::1\n',
        'socket:[4242]',
        'scsi-0QEMU_QEMU_HARDDISK_drv0123456789abcdef',
        '/mnt/data: 1.9 GiB (2040109465 bytes) trimmed',
        `CRYPT-LUKS2-${'0'.repeat(32)}-vmc-drv`,
      ].map(utf8),
      run: (input) => {
        const text = textOf(input);
        const inodes = listeningInodes(text, 22);
        insist(
          inodes.every((inode) => /^\d+$/.test(inode)),
          'inodes are numbers',
        );
        const addresses = [...gateways(text), ...nameservers(text)];
        insist(
          addresses.every((address) => IPV4.test(address)),
          'addresses of IPv4, as they go into the firewall',
        );
        const others = [socketInode(text), driveIdOfLink(text), parseTrimmedBytes(text)];
        return inodes.length + addresses.length > 0 || others.some((it) => it !== undefined)
          ? 'accepted'
          : 'refused:none';
      },
    }),
  },
  {
    name: 'vmc/config',
    from: 'file',
    form: 'text',
    weight: 0,
    maxBytes: 65_536,
    words: ['[', ']', '[[', '=', '"""', "'''", '\\u0000', '1e400', '0x', '1979-05-27', 'inf', 'nan'],
    open: () => ({
      seeds: ['vmc.toml', 'backend.toml', 'host-agent.toml'].map(
        (name) => new Uint8Array(readFileSync(new URL(`../../../packaging/etc/${name}`, import.meta.url))),
      ),
      run: (input) => {
        const [vmc = 'accepted', ...others] = [configSchema, backendSchema, agentSchema].map((schema) =>
          verdict(() => parseToml(textOf(input), schema, '/etc/vmc/vmc.toml')),
        );
        return others.includes('accepted') ? 'accepted' : vmc;
      },
    }),
  },
];
