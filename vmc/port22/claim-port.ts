/** Taking port 22, or saying who has it (requirement C4). */
import { once } from 'node:events';
import type { Server } from 'node:net';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { checkGiven, GIVEN_FD } from './given-socket.ts';
import { describeOwner, findPortOwner, VMC_SOCKET } from './port-owner.ts';

/** With a short one a burst of strangers costs others a second: the kernel drops their SYN. */
const BACKLOG = 4096;

/**
 * @param given how many sockets systemd gave vmc: with one, that is taken; with none, vmc listens by itself.
 * @throws VmcError 'port-in-use' naming the process that owns the port, 'bad-config' when what was given is not the port,
 * 'forbidden' without the right to take it.
 */
export async function claimPort(server: Server, port: number, given = 0): Promise<void> {
  if (given > 0) await checkGiven(given, port);
  try {
    // By itself on every address, IPv4 and (where there is any) IPv6, as vmc.socket does.
    server.listen({ backlog: BACKLOG, ...(given > 0 ? { fd: GIVEN_FD } : { port }) });
    await once(server, 'listening');
  } catch (error) {
    if (isErrno(error, 'EADDRINUSE')) throw await portInUse(port);
    if (isErrno(error, 'EACCES'))
      throw new VmcError('forbidden', `vmc may not listen on port ${port}.`, 'Run it as root: systemctl start vmc');
    throw error;
  }
}

async function portInUse(port: number): Promise<VmcError> {
  const owner = await findPortOwner(port);
  const who = owner === undefined ? 'Another process' : describeOwner(owner);
  return new VmcError('port-in-use', `${who} owns port ${port}, which belongs to vmc.`, remedy(owner?.unit));
}

function remedy(unit: string | undefined): string {
  if (unit === VMC_SOCKET) return 'systemd holds it for vmc. Run vmc as its service: systemctl start vmc';
  const culprits = unit ?? 'ssh.service ssh.socket';
  return `Is it SSH? Run: systemctl disable --now ${culprits}; then: systemctl restart vmc`;
}
