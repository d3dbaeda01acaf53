import t from 'tap';
import { exportPathSchema, parseNfsExport } from '../../../shared/api/media.ts';
import { configSchema } from '../../../vmc/config.ts';
import { parseBlkid } from '../../../vmc/drives/parse-blkid.ts';
import { diskIdOfLink, driveIdOfLink, isoIdOfLink } from '../../../vmc/drives/parse-links.ts';
import { parseMountinfo } from '../../../vmc/drives/parse-mountinfo.ts';
import { allowedTargets } from '../../../vmc/firewall/allowed-targets.ts';
import { planRules } from '../../../vmc/firewall/plan-rules.ts';
import { NfsMounts } from '../../../vmc/media/nfs.ts';
import { nfsMountsIn } from '../../../vmc/media/parse-nfs-mounts.ts';

t.test('C14: NFS mounts as the kernel lists them; what others made in their own way is none of ours', async (t) => {
  const mounts = parseMountinfo(
    [
      '257 27 0:44 / /mnt/ref ro,nosuid,nodev,noexec,relatime shared:137 - nfs4 10.0.0.5:/srv/x ro,vers=4.2,soft',
      '258 257 0:45 / /mnt/ref/sub ro - nfs4 10.0.0.5:/srv/x/sub ro',
      '259 27 0:46 / /mnt/open rw - nfs4 10.0.0.5:/ rw',
      '260 27 0:47 / /srv/y ro - nfs4 10.0.0.5:/y ro',
      '261 27 0:48 / /mnt/name ro - nfs4 server.example:/y ro',
      '262 27 0:49 / /mnt/Odd ro - nfs4 10.0.0.5:/y ro',
      '263 27 8:1 / /mnt/drive rw - ext4 10.0.0.5:/y rw',
      '264 27 0:50 / /mnt/space ro - nfs4 10.0.0.5:/a\\040b ro',
    ].join('\n'),
  );
  t.strictSame(nfsMountsIn(mounts, '/mnt'), [
    { name: 'ref', server: '10.0.0.5', path: '/srv/x', mountPoint: '/mnt/ref', readOnly: true },
    { name: 'open', server: '10.0.0.5', path: '/', mountPoint: '/mnt/open', readOnly: false },
  ]);
});

t.test('C14: an export is an address and a plain path, and nothing that could be an option', async (t) => {
  t.strictSame(parseNfsExport('10.0.0.5:/a/b-c_d.e+f@g'), { server: '10.0.0.5', path: '/a/b-c_d.e+f@g' });
  for (const bad of ['', ':', ':/a', '10.0.0.5', '10.0.0.5:', '10.0.0.256:/a', '::1:/a', 'a:/b', '10.0.0.5:/a:/b'])
    t.equal(parseNfsExport(bad), undefined, bad);
  for (const bad of [
    'a',
    '//',
    '/a//b',
    '/a/',
    '/.',
    '/..',
    '/a/../b',
    '/a/./b',
    '/a b',
    '/a,b',
    '/a\n',
    '/a\\b',
    '/ä',
  ])
    t.notOk(exportPathSchema.safeParse(bad).success, bad);
  for (const good of ['/', '/a', '/...', '/a/..b', '/.hidden']) t.ok(exportPathSchema.safeParse(good).success, good);
});

t.test('C4 C14: tcp/2049 goes out to exactly the servers that are named, and to none by default', async (t) => {
  const rulesFor = (toml: object) =>
    planRules({ tunnelPort: 22, servers: [], resolvers: [], allow: allowedTargets(configSchema.parse(toml)) });
  t.notMatch(rulesFor({}), '2049');
  const rules = rulesFor({ nfs: { servers: ['10.0.0.5', '10.0.0.6'] }, network: { allow: ['10.1.0.1:443/tcp'] } });
  t.strictSame(
    rules.split('\n').filter((line) => line.includes('daddr')),
    ['10.1.0.1 tcp dport 443', '10.0.0.5 tcp dport 2049', '10.0.0.6 tcp dport 2049'].map(
      (it) => `\t\tip daddr ${it} accept`,
    ),
  );
  for (const bad of ['::1', 'server', '10.0.0.0/8', '10.0.0.5; accept'])
    t.notOk(configSchema.safeParse({ nfs: { servers: [bad] } }).success, bad);
});

t.test('C14: read-write, and servers that are not named, are refused before anything is done', async (t) => {
  const nfs = new NfsMounts({
    servers: ['10.0.0.5'],
    mountRoot: '/nowhere',
    runFolder: '/nowhere',
    onUndoFailed: () => {},
  });
  const request = { server: '10.0.0.5', path: '/a', name: 'a', readOnly: true };
  const stoppable = { signal: new AbortController().signal };
  await t.rejects(nfs.mount({ ...request, readOnly: false }, stoppable), { code: 'forbidden', message: /read-only/ });
  await t.rejects(nfs.mount({ ...request, server: '10.0.0.6' }, stoppable), {
    code: 'forbidden',
    message: /10\.0\.0\.6 is not .* 10\.0\.0\.5/,
    hint: /vmc\.toml/,
  });
});

t.test('an ISO image is found by its serial, and is no drive', async (t) => {
  const iso = 'scsi-0QEMU_QEMU_HARDDISK_iso0123456789abcdef';
  t.equal(isoIdOfLink(iso), 'iso0123456789abcdef');
  t.equal(diskIdOfLink(iso), 'iso0123456789abcdef');
  t.equal(driveIdOfLink(iso), undefined);
  t.equal(diskIdOfLink(iso.replace('iso', 'drv')), 'drv0123456789abcdef');
  for (const other of [`${iso}-part1`, `${iso}0`, 'iso0123456789abcdef']) t.equal(isoIdOfLink(other), undefined, other);
  t.match(parseBlkid('LABEL=MY\\ TOOLS\nTYPE=iso9660\nUSAGE=filesystem\n'), { type: 'iso9660', label: 'MY TOOLS' });
});
