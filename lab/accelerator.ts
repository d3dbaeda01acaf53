/** KVM where it boots a stock kernel to its end, else QEMU's own emulation. /dev/kvm alone does not tell. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { makeFolder, readIfThere, writeAtomic } from '../shared/files.ts';
import { CommandError, run } from '../shared/run.ts';

export type Accelerator = 'kvm' | 'tcg';

const Found = z.object({ bootId: z.string(), accelerator: z.enum(['kvm', 'tcg']) });

/** A kernel without a disk gets this far in about a second; it has then used most of what a guest needs of KVM. */
const BOOTED = /Unable to mount root fs|Kernel panic/;
const TRIAL_MS = 10_000;

/**
 * Tries it once per boot of this machine and keeps the answer in `cacheDir`.
 * @param kernel a Linux kernel, say the image's; without it, one of this machine's /boot.
 */
export async function findAccelerator(cacheDir: string, kernel?: string): Promise<Accelerator> {
  const path = join(cacheDir, 'accelerator.json');
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const known = Found.safeParse(JSON.parse((await readIfThere(path)) ?? 'null'));
  if (known.success && known.data.bootId === bootId) return known.data.accelerator;
  const accelerator = (await kvmBoots(kernel ?? (await machineKernel()))) ? 'kvm' : 'tcg';
  await makeFolder(cacheDir, 0o755);
  await writeAtomic(path, `${JSON.stringify({ bootId, accelerator })}\n`, 0o644);
  return accelerator;
}

async function machineKernel(): Promise<string | undefined> {
  const kernels = (await readdir('/boot').catch(() => [])).filter((name) => name.startsWith('vmlinuz-'));
  const newest = kernels.sort().at(-1);
  return newest === undefined ? undefined : join('/boot', newest);
}

async function kvmBoots(kernel: string | undefined): Promise<boolean> {
  if (kernel === undefined || !(await readdir('/dev')).includes('kvm')) return false;
  const machine = ['-accel', 'kvm', '-cpu', 'host', '-m', '256', '-nodefaults', '-no-user-config', '-no-reboot'];
  try {
    const { stdout } = await run({
      file: 'qemu-system-x86_64',
      // panic=-1: the kernel restarts at once when it finds no disk, which -no-reboot makes the end.
      args: [
        ...machine,
        '-display',
        'none',
        '-serial',
        'stdio',
        '-kernel',
        kernel,
        '-append',
        'console=ttyS0 panic=-1',
      ],
      timeoutMs: TRIAL_MS,
    });
    return BOOTED.test(stdout);
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
}
