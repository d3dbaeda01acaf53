/** Builds the VM's image: a disk, a kernel, an initramfs and the kernel's command line, for direct kernel boot. */
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, posix } from 'node:path';
import { VmcError } from '../shared/errors.ts';
import { run } from '../shared/run.ts';
import { baseImage } from './base-image.ts';
import { cached, cacheKey } from './cache.ts';
import {
  ENABLED_UNITS,
  type ImageFile,
  KERNEL_CMDLINE,
  MASKED_UNITS,
  REMOVED_PATHS,
  ROOT_LABEL,
  SYSTEM_FILES,
} from './image-files.ts';

export type { ImageFile } from './image-files.ts';

export interface ImageOptions {
  outDir: string;
  /** File name without extension: lower-case letters, digits, dots and dashes. */
  name: string;
  /** Paths of .deb files to install, vmc's first of all. Their dependencies must be in the base. */
  debs: readonly string[];
  extraFiles?: readonly ImageFile[];
  /** Units of `extraFiles` or `debs` to switch on. */
  enableUnits?: readonly string[];
  /** Units that `debs` switch on by themselves, and that are to be off. */
  disableUnits?: readonly string[];
  /** Virtual size of the disk (default 4 GiB); the file is as big as what is in it. */
  diskGiB?: number;
  /** Where the base and finished images are kept: `.build/cache` of the repository. */
  cacheDir: string;
}

export interface Image {
  disk: string;
  kernel: string;
  initrd: string;
  /** The kernel's command line; `<name>.json` has it too, as `{"cmdline"}`. */
  cmdline: string;
}

const NAME = /^[a-z0-9][a-z0-9.-]{0,63}$/;
const UNIT = /^[A-Za-z0-9:_.@-]+\.(service|socket|timer|path|mount|target)$/;

/**
 * Needs root (chroot) and mmdebstrap, e2fsprogs, qemu-utils. The same inputs come from the cache in a second.
 * @throws VmcError `bad-request` for a bad name, path or unit; CommandError of a tool.
 */
export async function buildImage(options: ImageOptions): Promise<Image> {
  check(options);
  const { outDir, name, cacheDir } = options;
  const base = await baseImage(cacheDir);
  const key = cacheKey(base.key, await describe(options));
  const built = await cached({ folder: cacheDir, kind: 'image', key, keep: 2 }, (folder) =>
    make(options, base.tar, folder),
  );
  await mkdir(outDir, { recursive: true });
  for (const kind of ['qcow2', 'vmlinuz', 'initrd', 'json']) {
    const target = join(outDir, `${name}.${kind}`);
    await rm(target, { force: true });
    await copyFile(join(built, `image.${kind}`), target);
  }
  return {
    disk: join(outDir, `${name}.qcow2`),
    kernel: join(outDir, `${name}.vmlinuz`),
    initrd: join(outDir, `${name}.initrd`),
    cmdline: KERNEL_CMDLINE,
  };
}

function check({ name, extraFiles = [], enableUnits = [], disableUnits = [], diskGiB = 4 }: ImageOptions): void {
  const bad = (what: string): never => {
    throw new VmcError('bad-request', `An image cannot have ${what}`);
  };
  if (!NAME.test(name)) bad(`the name ${JSON.stringify(name)}`);
  if (!Number.isInteger(diskGiB) || diskGiB < 1 || diskGiB > 1024) bad(`a disk of ${diskGiB} GiB`);
  for (const { path, mode } of extraFiles) {
    if (!path.startsWith('/') || posix.normalize(path) !== path || path.endsWith('/'))
      bad(`a file at ${JSON.stringify(path)}`);
    if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777) bad(`the mode ${mode}`);
  }
  for (const unit of [...enableUnits, ...disableUnits]) if (!UNIT.test(unit)) bad(`the unit ${JSON.stringify(unit)}`);
}

/** All that decides what is in the image, as one text. */
async function describe({
  debs,
  extraFiles = [],
  enableUnits = [],
  disableUnits = [],
  diskGiB = 4,
}: ImageOptions): Promise<string> {
  const digest = (data: string | Uint8Array): string => cacheKey(data);
  const file = ({ path, data, mode }: ImageFile): [string, string, number] => [path, digest(data), mode];
  return JSON.stringify([
    await Promise.all(debs.map(async (path) => digest(await readFile(path)))),
    [...SYSTEM_FILES, ...extraFiles].map(file),
    [ENABLED_UNITS, MASKED_UNITS, REMOVED_PATHS, enableUnits, disableUnits],
    [KERNEL_CMDLINE, diskGiB],
    digest(await readFile(import.meta.filename)), // the steps below are an input too
  ]);
}

async function make(options: ImageOptions, baseTar: string, folder: string): Promise<void> {
  const root = await mkdtemp(join(folder, 'root-'));
  await chmod(root, 0o755);
  await run({
    file: 'tar',
    args: ['--extract', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--file', baseTar, '--directory', root],
    timeoutMs: 120_000,
  });
  await install(root, options.debs);
  for (const path of REMOVED_PATHS) await rm(join(root, path), { recursive: true, force: true });
  for (const file of [...SYSTEM_FILES, ...(options.extraFiles ?? [])]) await put(root, file);
  await symlink('../run/systemd/resolve/stub-resolv.conf', join(root, 'etc/resolv.conf'));
  await inside(root, 'systemctl', ['enable', ...ENABLED_UNITS, ...(options.enableUnits ?? [])]);
  const { disableUnits = [] } = options;
  if (disableUnits.length > 0) await inside(root, 'systemctl', ['disable', ...disableUnits]);
  await inside(root, 'systemctl', ['mask', ...MASKED_UNITS]);
  await refuseLogins(root);
  await takeKernel(root, folder);
  await makeDisk(root, folder, options.diskGiB ?? 4);
  await rm(root, { recursive: true });
}

const inside = (root: string, file: string, args: readonly string[]): Promise<unknown> =>
  run({ file: 'chroot', args: [root, file, ...args], env: { DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: 120_000 });

async function install(root: string, debs: readonly string[]): Promise<void> {
  if (debs.length === 0) return;
  await mkdir(join(root, 'tmp/debs'));
  for (const path of debs) await copyFile(path, join(root, 'tmp/debs', basename(path)));
  await inside(root, 'dpkg', ['--install', ...debs.map((path) => `/tmp/debs/${basename(path)}`)]);
  await rm(join(root, 'tmp/debs'), { recursive: true });
}

async function put(root: string, { path, data, mode }: ImageFile): Promise<void> {
  const target = join(root, path);
  await mkdir(dirname(target), { recursive: true });
  await rm(target, { force: true });
  await writeFile(target, data);
  await chmod(target, mode);
}

/** Fails closed: an image in which anybody has a password is not finished. */
async function refuseLogins(root: string): Promise<void> {
  const shadow = await readFile(join(root, 'etc/shadow'), 'utf8');
  const open = shadow.split('\n').filter((line) => line !== '' && !/^[^:]+:[!*]/.test(line));
  if (open.length > 0)
    throw new VmcError(
      'wrong-state',
      `An account of the image can log in: ${open.map((line) => line.split(':')[0]).join(', ')}`,
    );
}

/** The host boots this kernel, not one inside: the image's own is held back, so that modules and kernel stay a pair. */
async function takeKernel(root: string, folder: string): Promise<void> {
  const kernels = (await readdir(join(root, 'boot'))).filter((file) => file.startsWith('vmlinuz-'));
  const version = kernels[0]?.slice('vmlinuz-'.length);
  if (kernels.length !== 1 || version === undefined)
    throw new VmcError(
      'wrong-state',
      `The base has ${kernels.length} kernels, not one`,
      'Remove .build/cache and build again.',
    );
  await inside(root, 'apt-mark', ['hold', 'linux-image-cloud-amd64', `linux-image-${version}`]);
  await copyFile(join(root, 'boot', `vmlinuz-${version}`), join(folder, 'image.vmlinuz'));
  await copyFile(join(root, 'boot', `initrd.img-${version}`), join(folder, 'image.initrd'));
  await rm(join(root, 'boot', `initrd.img-${version}`));
  await writeFile(join(folder, 'image.json'), `${JSON.stringify({ cmdline: KERNEL_CMDLINE })}\n`);
}

async function makeDisk(root: string, folder: string, diskGiB: number): Promise<void> {
  const raw = join(folder, 'image.raw');
  await run({
    file: 'mke2fs',
    args: ['-q', '-t', 'ext4', '-L', ROOT_LABEL, '-m', '1', '-d', root, raw, `${diskGiB}G`],
    timeoutMs: 180_000,
  });
  await run({
    file: 'qemu-img',
    args: ['convert', '-O', 'qcow2', raw, join(folder, 'image.qcow2')],
    timeoutMs: 180_000,
  });
  await rm(raw);
}
