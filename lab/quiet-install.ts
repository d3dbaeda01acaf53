/** Installs Debian packages without letting their services start, now or at the next boot: only the programs are wanted. */
import { rm } from 'node:fs/promises';
import { writeOnce } from '../shared/files.ts';
import { CommandError, run } from '../shared/run.ts';
import { ensureDebianPackages } from './setup.ts';

/** invoke-rc.d(8) asks it; 101 means "not allowed". */
const POLICY = '/usr/sbin/policy-rc.d';

/** @returns what it installed. @throws as `ensureDebianPackages`. */
export async function installQuietly(packages: readonly string[], services: readonly string[]): Promise<string[]> {
  const isRoot = process.getuid?.() === 0;
  const ours = isRoot && (await writeOnce(POLICY, '#!/bin/sh\nexit 101\n', 0o755));
  try {
    const installed = await ensureDebianPackages(packages);
    if (installed.length > 0) await disable(services);
    return installed;
  } finally {
    if (ours) await rm(POLICY, { force: true });
  }
}

async function disable(services: readonly string[]): Promise<void> {
  try {
    await run({ file: 'systemctl', args: ['disable', '--quiet', '--', ...services], timeoutMs: 30_000 });
  } catch (error) {
    if (!(error instanceof CommandError && error.reason === 'not-found')) throw error; // without systemd nothing starts
  }
}
