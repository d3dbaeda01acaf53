/** The licence texts of the libraries in a bundle: they ask that a copy comes with their code. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';

const PackageJson = z.object({ name: z.string(), version: z.string(), license: z.string().optional() });

/** The folders of the packages that inputs (paths relative to the root) belong to, sorted, each once. */
export function packageFolders(inputs: readonly string[]): string[] {
  const folders = new Set<string>();
  for (const input of inputs) {
    // The last node_modules counts: a package may bring its own copies of others.
    const match = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input);
    if (match !== null) folders.add(match[0]);
  }
  return [...folders].sort();
}

/** One text with the name, version and licence of every package that took part in a bundle. */
export async function collectLicences(root: string, inputs: readonly string[]): Promise<string> {
  const parts: string[] = [];
  for (const folder of packageFolders(inputs)) {
    const path = join(root, folder);
    const { name, version, license } = PackageJson.parse(
      JSON.parse(await readFile(join(path, 'package.json'), 'utf8')),
    );
    const texts = (await readdir(path)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).sort();
    const bodies = await Promise.all(texts.map((file) => readFile(join(path, file), 'utf8')));
    parts.push([`${name} ${version} (${license ?? 'see below'})`, ...bodies.map((body) => body.trim())].join('\n\n'));
  }
  return `${parts.join(`\n\n${'-'.repeat(72)}\n\n`)}\n`;
}
