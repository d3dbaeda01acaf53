/** From this checkout's sources to .debs: the bundle of each product, then its package. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { bundle } from './bundle.ts';
import { buildDeb } from './deb.ts';
import { PRODUCTS, type ProductName } from './products.ts';

const PackageJson = z.object({ version: z.string() });

/** Bundles into `.build/bundle/<product>`, packs into `outDir`. @returns the .debs' paths, in the order of `names`. */
export async function buildPackages(root: string, names: readonly ProductName[], outDir: string): Promise<string[]> {
  const { version } = PackageJson.parse(JSON.parse(await readFile(join(root, 'package.json'), 'utf8')));
  const paths: string[] = [];
  for (const name of names) {
    const bundleDir = join(root, '.build/bundle', name);
    await bundle({ entry: join(root, name, 'main.ts'), outDir: bundleDir, root });
    paths.push(await buildDeb({ product: PRODUCTS[name], version, bundleDir, root, outDir }));
  }
  return paths;
}
