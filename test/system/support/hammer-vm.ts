/** Connects to port 22 of the VM from the backend's machine, all the time. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ADDRESSES, inNamespace } from '../../../lab/namespaces.ts';
import type { VmSite } from './vm-site.ts';

export interface Hammered {
  connected: number;
  refused: number;
  failed: number;
}

/** @returns ends it, and says what became of the connections. */
export async function hammerVm({ site, vmId }: Pick<VmSite, 'site' | 'vmId'>): Promise<() => Promise<Hammered>> {
  const listed = JSON.parse(await site.hostAgent(['vm', 'list', '--json'])) as { vmId: string; hostPort: number }[];
  const port = String(listed.find((it) => it.vmId === vmId)?.hostPort);
  const program = [join(import.meta.dirname, 'hammer.ts'), ADDRESSES.vmhost, port];
  const [file, ...args] = inNamespace(site.network.backend, process.execPath, program);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = text(child.stdout);
  return async () => {
    child.stdin.end();
    return JSON.parse(await said) as Hammered;
  };
}
