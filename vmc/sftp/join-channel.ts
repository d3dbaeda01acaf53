/** Bytes between an SSH channel and a process, both ways, as they are, and with what either side can hold. */
import type { Socket } from 'node:net';
import type { Connection, ServerChannel } from 'ssh2';
import type { ServerProcess } from './server-process.ts';

export interface Joined {
  /** Bytes of SFTP from and to the client so far. */
  received: number;
  sent: number;
  /** The client takes no more: what the process still says goes nowhere, and it is told that nothing more comes. */
  clientGone(): void;
}

/**
 * ssh2 writes to the socket whatever the socket holds already, and while keys are exchanged it keeps what is written: a
 * client that takes nothing, or never finishes an exchange, must not make that grow. So the next piece is taken from the
 * process only when the last one has reached the socket, and the socket holds less than this.
 */
const MAX_UNSENT = 1024 * 1024;

export function joinChannel(
  channel: ServerChannel,
  { connection, socket, server }: { connection: Connection; socket: Socket; server: ServerProcess },
): Joined {
  const { stdin, stdout } = server.child;
  let gone = false;
  const joined = {
    received: 0,
    sent: 0,
    clientGone() {
      gone = true; // ssh2 never calls back for what it could not send
      stdout.resume();
      stdin.end();
    },
  };
  channel.on('data', (chunk: Buffer) => {
    joined.received += chunk.length;
  });
  channel.pipe(stdin);
  channel.on('error', () => {}); // 'close' follows
  const goOn = () => void stdout.resume();
  stdout.on('data', (chunk: Buffer) => {
    if (gone) return;
    joined.sent += chunk.length;
    stdout.pause();
    const before = socket.bytesWritten;
    channel.write(chunk, () => {
      if (socket.bytesWritten - before < chunk.length) connection.once('rekey', goOn);
      else if (socket.writableLength > MAX_UNSENT) socket.once('drain', goOn);
      else goOn();
    });
  });
  return joined;
}
