/** Real servers for the demo's and the tests' VM: xrdp and the kernel's NFS server, as Debian has them. Their units stay off until somebody starts them: no boot waits for them. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { baseImage } from '../packaging/base-image.ts';
import { cached, cacheKey } from '../packaging/cache.ts';
import type { ImageFile } from '../packaging/image.ts';
import { run } from '../shared/run.ts';

const PACKAGES = ['xrdp', 'nfs-kernel-server'];

/** What the package switches on by itself. */
export const SERVER_UNITS = ['xrdp.service', 'xrdp-sesman.service', 'nfs-server.service'] as const;

/** As a person has to allow it on Debian, too: xrdp runs as a user of its own, who may not read the certificate's key. */
export const SERVER_FILES: readonly ImageFile[] = [
  {
    path: '/etc/systemd/system/xrdp.service.d/certificate.conf',
    data: '[Service]\nSupplementaryGroups=ssl-cert\n',
    mode: 0o644,
  },
];

/** Paths of the packages, of `others`, and of all that they need beyond the base, from the cache if they were fetched before. */
export async function serverDebs(cacheDir: string, others: readonly string[] = []): Promise<string[]> {
  const packages = [...PACKAGES, ...others];
  const base = await baseImage(cacheDir);
  const key = cacheKey(base.key, JSON.stringify(packages));
  const folder = await cached({ folder: cacheDir, kind: 'servers', key, keep: 2 }, (made) =>
    fetchDebs(base.tar, made, packages),
  );
  const names = await readdir(folder);
  return names
    .filter((name) => name.endsWith('.deb'))
    .sort()
    .map((name) => join(folder, name));
}

/** This machine's apt fetches for a system with the base's packages; it changes nothing of its own. See apt-get(8). */
async function fetchDebs(baseTar: string, folder: string, packages: readonly string[]): Promise<void> {
  const status = 'var/lib/dpkg/status';
  await run({
    file: 'tar',
    args: ['--extract', '--file', baseTar, '--directory', folder, `./${status}`],
    timeoutMs: 60_000,
  });
  await mkdir(join(folder, 'partial'));
  const options = {
    'Dir::State::status': join(folder, status),
    'Dir::Cache::archives': folder,
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'Debug::NoLocking': '1',
    'APT::Sandbox::User': 'root',
    'Acquire::Retries': '3',
  };
  await run({
    file: 'apt-get',
    args: [
      ...Object.entries(options).flatMap(([name, value]) => ['--option', `${name}=${value}`]),
      ...['install', '--yes', '--quiet', '--download-only', '--no-install-recommends', '--', ...packages],
    ],
    timeoutMs: 300_000,
  });
}
