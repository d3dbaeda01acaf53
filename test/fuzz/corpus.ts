/** Inputs that once were findings, one file each: corpus/AREA/PARSER/HASH. They are tried at every run, for ever. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const CORPUS = join(import.meta.dirname, 'corpus');

export function loadCorpus(target: string, folder = CORPUS): Uint8Array[] {
  let names: string[];
  try {
    names = readdirSync(join(folder, target)).sort();
  } catch {
    return []; // none yet
  }
  return names.map((name) => new Uint8Array(readFileSync(join(folder, target, name))));
}

/** @returns the file's path. */
export function saveInput(target: string, input: Uint8Array, folder = CORPUS): string {
  mkdirSync(join(folder, target), { recursive: true });
  const path = join(folder, target, createHash('sha256').update(input).digest('hex').slice(0, 16));
  writeFileSync(path, input);
  return path;
}
