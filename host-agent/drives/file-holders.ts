/** Who has a disk file open on this host: the lock itself does not say. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { VmcError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';

const MAX_NAMED = 4;

/** The refusal of an operation on a file whose lock somebody else has. */
export async function inUse(path: string, cause: unknown): Promise<VmcError> {
  const holders = await processesWith(path);
  return new VmcError(
    'busy',
    `${path} is in use by ${holders.length === 0 ? 'another host, or by a process that has just ended' : holders.join(', ')}.`,
    holders.length === 0
      ? 'Detach it on the host that has it: `host-agent drive list` there. Otherwise try again.'
      : 'Detach it from that machine, or wait until that process has ended.',
    { cause },
  );
}

/** 'process 12 (qemu-img)' …, of all processes that this one may look into. */
async function processesWith(path: string): Promise<string[]> {
  const found: string[] = [];
  const file = await stat(path).catch(() => undefined);
  if (file === undefined) return found;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (found.length >= MAX_NAMED) break;
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const open = await stat(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
      if (open === undefined || open.ino !== file.ino || open.dev !== file.dev) continue;
      found.push(await describe(pid));
      break;
    }
  }
  return found;
}

/** A machine is named as libvirt names it: QEMU's argument `-name guest=…`. */
async function describe(pid: string): Promise<string> {
  const argv = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const guest = /(?:^|\0)-name\0guest=([a-zA-Z0-9_.-]{1,64})/.exec(argv)?.[1];
  if (guest !== undefined) return `${guest} (process ${pid})`;
  const name = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim();
  return `process ${pid} (${printable(name)})`;
}
