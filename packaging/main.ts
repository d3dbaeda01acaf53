/** `node packaging/main.ts deb|image`: what to install on VMs, VM hosts and servers, built from this checkout. */
import { basename, join, resolve } from 'node:path';
import { Argument, Command } from 'commander';
import { ERROR_EXIT, publicError, VmcError } from '../shared/errors.ts';
import { buildImage } from './image.ts';
import { buildPackages } from './packages.ts';
import { PRODUCT_NAMES, type ProductName } from './products.ts';

const root = resolve(import.meta.dirname, '..');
const packagesDir = join(root, '.build/packages');

const program = new Command('packaging').description('Builds packages and the VM image into .build');

program
  .command('deb')
  .description('build Debian packages')
  .addArgument(new Argument('[product...]', 'which ones').choices(PRODUCT_NAMES).default([...PRODUCT_NAMES]))
  .option('--out <folder>', 'where to', packagesDir)
  .action(async (names: ProductName[], options: { out: string }) => {
    for (const path of await buildPackages(root, names, resolve(options.out))) console.log(path);
  });

program
  .command('image')
  .description('build the VM image: disk, kernel, initramfs (as root)')
  .option('--name <name>', 'file name without extension', 'debian12')
  .option('--out <folder>', 'where to', join(root, '.build/images'))
  .action(async ({ name, out }: { name: string; out: string }) => {
    const debs = await buildPackages(root, ['vmc'], packagesDir);
    const image = await buildImage({ outDir: resolve(out), name, debs, cacheDir: join(root, '.build/cache') });
    for (const path of [image.disk, image.kernel, image.initrd]) console.log(path);
    console.error(`installed: ${debs.map((path) => basename(path)).join(' ')}`);
  });

try {
  await program.parseAsync();
} catch (error) {
  const { code, message, hint } = publicError(error);
  console.error(message, hint === undefined ? '' : `\n  hint: ${hint}`);
  if (!(error instanceof VmcError)) console.error(error);
  process.exitCode = ERROR_EXIT[code];
}
