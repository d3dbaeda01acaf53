/** Listening sockets in /proc/net/tcp and tcp6 (proc_pid_net(5)): local address as hex, state 0A, inode in column 10. */

/** @returns the inodes of the sockets that listen on a port, on any address. */
export function listeningInodes(procNetTcp: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return procNetTcp
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A' && fields[1]?.split(':')[1] === wanted)
    .map((fields) => fields[9] ?? '')
    .filter((inode) => /^[1-9]\d*$/.test(inode));
}

/** The inode in what /proc/PID/fd/N links to: 'socket:[1234]' → '1234'. */
export function socketInode(link: string): string | undefined {
  return /^socket:\[(\d+)\]$/.exec(link)?.[1];
}
