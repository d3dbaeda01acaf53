/** ssh2's server, held to approved algorithms. Loaded when somebody first wants SFTP: an idle vmc does without it. */
import type { Socket } from 'node:net';
import ssh2 from 'ssh2';
import { SSH_ALGORITHMS } from '../../shared/ssh/algorithms.ts';
import { type ConnectionDeps, SshConnection } from './ssh-connection.ts';

/** Ed25519: FIPS 186-5. */
const ALGORITHMS: ssh2.Algorithms = { ...SSH_ALGORITHMS, serverHostKey: ['ssh-ed25519'] };

/** A client that says nothing is asked this often, and has gone when it leaves so many questions unanswered. */
const KEEP_ALIVE = { keepaliveInterval: 30_000, keepaliveCountMax: 3 };

export interface SshServer {
  serve(socket: Socket, deps: ConnectionDeps): void;
}

/** A TCP connection to one port of ours has this to itself. */
const keyOf = (address: string | undefined, port: number | undefined) => `${address} ${port}`;

/** @param hostKey in OpenSSH's form. */
export function makeSshServer(hostKey: string): SshServer {
  const waiting = new Map<string, { socket: Socket; deps: ConnectionDeps }>();
  const server = new ssh2.Server({ hostKeys: [hostKey], algorithms: ALGORITHMS, ident: 'vmc', ...KEEP_ALIVE });
  server.on('connection', (connection, { ip, port }) => {
    const key = keyOf(ip, port);
    const found = waiting.get(key);
    waiting.delete(key);
    if (found === undefined) return void connection.end();
    new SshConnection(connection, found.socket, found.deps);
  });
  return {
    serve(socket, deps) {
      const key = keyOf(socket.remoteAddress, socket.remotePort);
      waiting.set(key, { socket, deps });
      socket.once('close', () => waiting.delete(key));
      server.injectSocket(socket);
    },
  };
}
