/** A minimal Debian 12 with systemd and a kernel, as a tar file: what every VM image starts from. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from '../shared/run.ts';
import { machineProxies, machineSources } from './apt-sources.ts';
import { cached, cacheKey } from './cache.ts';

export const SUITE = 'bookworm';

/** Only what boots a VM, and what vmc runs in it. There is no sshd, no getty, no compiler. */
export const BASE_PACKAGES = [
  'btrfs-progs',
  'ca-certificates',
  'cryptsetup-bin',
  'dbus', // logind needs it, and the power button needs logind
  'e2fsprogs',
  'initramfs-tools',
  'iproute2',
  'kmod',
  'libatomic1',
  'libstdc++6',
  'linux-image-cloud-amd64',
  'mount',
  'nfs-common', // mount.nfs4; what it starts is masked
  'nftables',
  'openssh-sftp-server',
  'passwd',
  'systemd',
  'systemd-resolved',
  'systemd-sysv',
  'udev',
  'util-linux',
  'xfsprogs',
  'zstd',
] as const;

/** The initramfs finds a virtio disk and nothing else: small files load fast, also without KVM. */
const INITRAMFS_FILES: readonly (readonly [string, string, number])[] = [
  ['etc/initramfs-tools/conf.d/vmc', 'MODULES=list\nBUSYBOX=n\nCOMPRESS=zstd\nFSTYPE=ext4\nRESUME=none\n', 0o644],
  [
    'etc/initramfs-tools/hooks/vmc',
    [
      '#!/bin/sh',
      '[ "$1" = prereqs ] && exit 0',
      '. /usr/share/initramfs-tools/hook-functions',
      'manual_add_modules virtio_pci virtio_scsi virtio_net sd_mod virtio_blk ext4',
      '',
    ].join('\n'),
    0o755,
  ],
];

const SLIM = [
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/info/*',
  'path-exclude=/usr/share/locale/*',
];

/**
 * Path of the base's tar file; made once (about a minute), then from the cache. Removing `.build/cache` brings in the
 * newest packages. @throws CommandError of mmdebstrap: not root, or the mirror cannot be reached.
 */
export async function baseImage(cacheFolder: string): Promise<{ tar: string; key: string }> {
  const key = cacheKey(JSON.stringify([SUITE, BASE_PACKAGES, INITRAMFS_FILES, SLIM]));
  const folder = await cached({ folder: cacheFolder, kind: 'base', key, keep: 1 }, makeBase);
  return { tar: join(folder, 'root.tar'), key };
}

async function makeBase(folder: string): Promise<void> {
  // Its path goes into a hook that mmdebstrap splits at spaces, so it is not made under the repository.
  const overlay = await mkdtemp(join(tmpdir(), 'vmc-base-'));
  try {
    for (const [path, text, mode] of INITRAMFS_FILES) {
      await mkdir(dirname(join(overlay, path)), { recursive: true });
      await writeFile(join(overlay, path), text);
      await chmod(join(overlay, path), mode);
    }
    await chmod(overlay, 0o755);
    const sources = await machineSources(SUITE);
    await run({
      file: 'mmdebstrap',
      args: [
        '--mode=root',
        '--variant=apt',
        '--format=tar',
        ...['Acquire::Languages "none"', 'Acquire::Retries "3"', ...(await machineProxies())].map(
          (line) => `--aptopt=${line}`,
        ),
        ...SLIM.map((line) => `--dpkgopt=${line}`),
        `--include=${BASE_PACKAGES.join(',')}`,
        `--setup-hook=sync-in ${overlay} /`,
        SUITE,
        join(folder, 'root.tar'),
        ...(sources.length === 0 ? [] : ['-']),
      ],
      stdin: sources.map((line) => `${line}\n`).join(''),
      timeoutMs: 480_000,
    });
  } finally {
    await rm(overlay, { recursive: true, force: true });
  }
}
