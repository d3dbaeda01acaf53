/** The VM image of the demo and of the system tests: Debian 12, the vmc package, a program to talk to, and real servers. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { transform } from 'esbuild';
import * as z from 'zod';
import { ROOT } from '../lab/programs.ts';
import { bundle } from '../packaging/bundle.ts';
import { buildDeb } from '../packaging/deb.ts';
import { buildImage } from '../packaging/image.ts';
import { PRODUCTS } from '../packaging/products.ts';
import { parseJson } from '../shared/validate.ts';
import { SERVER_FILES, SERVER_UNITS, serverDebs } from './real-servers.ts';

const IMAGE_NAME = 'debian-12';
const BUILD = join(ROOT, '.build');

const VMC_TOML = `# The demo's settings: RDP and the demo's web server may be reached through the tunnel.
[tunnel]
ports = [3389, 8080]
# The NFS server that the VM itself has, once somebody starts it.
[nfs]
servers = ["127.0.0.1"]
`;

// Started by the first connection, so that it does not compete with what the demo measures.
const PROGRAM_SOCKET = `[Unit]
Description=The demo's web server, its port

[Socket]
ListenStream=127.0.0.1:8080

[Install]
WantedBy=sockets.target
`;

const PROGRAM_UNIT = `[Unit]
Description=The demo's web server

[Service]
ExecStart=/usr/lib/vmc/node /opt/demo/vm-program.mjs
Restart=on-failure
`;

/**
 * Builds the package and the image into a pool, or takes them from `.build/cache`.
 * @param packages more Debian packages for it. @returns the image's name.
 */
export async function buildDemoImage(imagesPool: string, packages: readonly string[] = []): Promise<{ name: string }> {
  const { version } = parseJson(
    z.object({ version: z.string() }),
    await readFile(join(ROOT, 'package.json'), 'utf8'),
    'package.json',
  );
  const cacheDir = join(BUILD, 'cache');
  const bundleDir = join(BUILD, 'bundle', 'vmc');
  await bundle({ entry: join(ROOT, 'vmc', 'main.ts'), outDir: bundleDir, root: ROOT });
  const deb = await buildDeb({
    product: PRODUCTS.vmc,
    version,
    bundleDir,
    root: ROOT,
    outDir: join(BUILD, 'packages'),
  });
  const source = await readFile(join(import.meta.dirname, 'vm-program.ts'), 'utf8');
  const { code } = await transform(source, { loader: 'ts', format: 'esm', target: 'node26' });
  await mkdir(imagesPool, { recursive: true });
  await buildImage({
    outDir: imagesPool,
    name: IMAGE_NAME,
    debs: [deb, ...(await serverDebs(cacheDir, packages))],
    extraFiles: [
      { path: '/etc/vmc/vmc.toml', data: VMC_TOML, mode: 0o644 },
      { path: '/opt/demo/vm-program.mjs', data: code, mode: 0o644 },
      { path: '/usr/lib/systemd/system/demo-program.socket', data: PROGRAM_SOCKET, mode: 0o644 },
      { path: '/usr/lib/systemd/system/demo-program.service', data: PROGRAM_UNIT, mode: 0o644 },
      ...SERVER_FILES,
    ],
    enableUnits: ['demo-program.socket'],
    disableUnits: SERVER_UNITS,
    cacheDir,
  });
  return { name: IMAGE_NAME };
}
