/**
 * KVM or TCG? The presence of /dev/kvm says little: under some hypervisors it is there and stock guests hang or QEMU
 * itself fails. So a kernel is booted with it, without a root file system: one that gets as far as panicking over that
 * has run on it. The answer holds until the next boot of the host.
 */
import { constants } from 'node:fs';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { readIfThere, writeAtomic } from '../../shared/files.ts';
import { CommandError, run } from '../../shared/run.ts';
import type { Host } from '../host.ts';

const PROBE_MS = 20_000;
const PANIC = 'Kernel panic - not syncing';

const memorySchema = z.object({ bootId: z.string(), kvm: z.boolean() });

/** @param signal ends a trial that is under way; nothing is remembered then. */
export async function chooseAccelerator(host: Host, signal?: AbortSignal): Promise<'kvm' | 'tcg'> {
  const { accelerator, stateDir } = host.config;
  if (accelerator !== 'auto') return accelerator;
  const memory = join(stateDir, 'kvm-probe.json');
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return host.locks.hold(['kvm-probe'], async () => {
    const remembered = memorySchema.safeParse(JSON.parse((await readIfThere(memory)) ?? 'null'));
    if (remembered.success && remembered.data.bootId === bootId) return remembered.data.kvm ? 'kvm' : 'tcg';
    const kvm = await kvmBoots(host, signal);
    await writeAtomic(memory, JSON.stringify({ bootId, kvm }), 0o600);
    return kvm ? 'kvm' : 'tcg';
  });
}

async function kvmBoots(host: Host, signal: AbortSignal | undefined): Promise<boolean> {
  const kernel = (await anyKernel(host.config.pools.images)) ?? (await anyKernel('/boot'));
  if (kernel === undefined || !(await mayOpen('/dev/kvm'))) return false;
  const args = ['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '256', '-nodefaults', '-display', 'none'];
  try {
    const { stdout } = await run({
      file: 'qemu-system-x86_64',
      args: [...args, '-serial', 'stdio', '-no-reboot', '-kernel', kernel, '-append', 'console=ttyS0 panic=-1'],
      timeoutMs: PROBE_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    return stdout.includes(PANIC);
  } catch (error) {
    if (error instanceof CommandError && error.reason !== 'not-found' && error.reason !== 'cancelled') return false;
    throw error;
  }
}

async function anyKernel(folder: string): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => []);
  const name = names.sort().findLast((it) => it.endsWith('.vmlinuz') || it.startsWith('vmlinuz-'));
  return name === undefined ? undefined : join(folder, name);
}

async function mayOpen(path: string): Promise<boolean> {
  return access(path, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}
