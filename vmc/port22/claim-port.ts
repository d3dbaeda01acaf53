/** Taking port 22, or saying who has it (requirement C4). */
import { once } from 'node:events';
import type { Server } from 'node:net';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { findPortOwner } from './port-owner.ts';

/** @throws VmcError 'port-in-use' naming the process that owns the port, 'forbidden' without the right to take it. */
export async function claimPort(server: Server, port: number): Promise<void> {
  try {
    // Every address, IPv4 and (where there is any) IPv6. With a short backlog a burst of strangers costs others a second:
    // the kernel drops their SYN.
    server.listen({ port, backlog: 4096 });
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
  const who = owner === undefined ? 'Another process' : `${owner.name} (pid ${owner.pid})`;
  return new VmcError(
    'port-in-use',
    `${who} owns port ${port}, which belongs to vmc.`,
    'Is it SSH? Run: systemctl disable --now ssh.service ssh.socket; then: systemctl restart vmc',
  );
}
