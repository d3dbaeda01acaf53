/** Folders that take long to make, kept under a key of all that went into them. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../shared/files.ts';

export interface CacheEntry {
  /** The cache's folder, say `.build/cache`. */
  folder: string;
  /** Lower-case word: entries of one kind push out each other. */
  kind: string;
  /** What went in; see `cacheKey`. */
  key: string;
  /** Newest entries of this kind that stay, this one among them. */
  keep: number;
}

/** SHA-256 over the parts, each with its length: no two lists of parts look alike. */
export function cacheKey(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = Buffer.from(part);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex').slice(0, 32);
}

/**
 * The folder `<kind>-<key>`, made by `make` if it is not there. A crash half way leaves nothing under that name; of two
 * who make it at once the first wins, and both get a whole one.
 */
export async function cached(entry: CacheEntry, make: (folder: string) => Promise<void>): Promise<string> {
  const { folder, kind, key } = entry;
  const path = join(folder, `${kind}-${key}`);
  if (!(await touched(path))) {
    await mkdir(folder, { recursive: true });
    const temporary = await mkdtemp(join(folder, `.${kind}-`));
    try {
      await make(temporary);
      await rename(temporary, path).catch((error: unknown) => {
        if (!isErrno(error, 'ENOTEMPTY') && !isErrno(error, 'EEXIST')) throw error;
      });
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
    await touched(path);
  }
  await prune(entry);
  return path;
}

async function touched(path: string): Promise<boolean> {
  try {
    await utimes(path, new Date(), new Date());
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** Removes the oldest of this kind, and what a crash left an hour ago or more. */
async function prune({ folder, kind, keep }: CacheEntry): Promise<void> {
  const entries: { path: string; used: number }[] = [];
  for (const name of await readdir(folder)) {
    const whole = name.startsWith(`${kind}-`);
    if (!whole && !name.startsWith(`.${kind}-`)) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined); // someone else's prune took it
    if (found === undefined) continue;
    if (whole) entries.push({ path, used: found.mtimeMs });
    else if (Date.now() - found.mtimeMs > 3_600_000) await rm(path, { recursive: true, force: true });
  }
  entries.sort((a, b) => b.used - a.used);
  for (const { path } of entries.slice(keep)) await rm(path, { recursive: true, force: true });
}
