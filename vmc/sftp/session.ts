/** One SFTP session: a channel that the client opened, the sftp-server behind it, and what that says of files. */
import type { Socket } from 'node:net';
import type { Connection, ServerChannel } from 'ssh2';
import { joinChannel } from './join-channel.ts';
import { LogLines } from './log-lines.ts';
import type { ServerCommand } from './plan-server.ts';
import { startServer } from './server-process.ts';
import { TransferLog, type TransferLogDeps } from './transfer-log.ts';

/** What somebody's session runs, and where it is told of. */
export interface SessionOf {
  command: ServerCommand;
  log: TransferLogDeps;
}

export interface Session {
  /** Resolves when the process is gone and all of it is recorded. */
  ended: Promise<void>;
  /** The client closed the channel, or is no more: sftp-server ends by itself, or is killed soon. */
  clientGone(): void;
  /** At once. */
  kill(): void;
}

/** What failed is said in the line right after; when none has come by then, it went well. */
const SETTLE_MS = 500;
const SUMMARISE_MS = 60_000;
/** For a slow disk, and to say what was open. */
const END_MS = 10_000;

export function startSession(
  channel: ServerChannel,
  transport: { connection: Connection; socket: Socket },
  { command, log: logDeps }: SessionOf,
): Session {
  const server = startServer(command);
  const log = new TransferLog(logDeps);
  const lines = new LogLines();
  const settle = setTimeout(() => log.settle(), SETTLE_MS).unref();
  const summarise = setInterval(() => log.summarise(), SUMMARISE_MS).unref();
  server.child.stderr.on('data', (chunk: Buffer) => {
    for (const line of lines.push(chunk)) log.line(line);
    settle.refresh();
  });
  const joined = joinChannel(channel, { ...transport, server });
  let deadline: NodeJS.Timeout | undefined;

  const ended = server.ended.then((code) => {
    clearTimeout(settle);
    clearTimeout(deadline);
    clearInterval(summarise);
    for (const line of lines.end()) log.line(line);
    log.end();
    const target = `${joined.received} bytes of SFTP received, ${joined.sent} sent`;
    logDeps.record({ what: 'sftp.end', target, result: code === 0 ? 'ok' : 'cut' });
    channel.exit(code ?? 1);
    channel.end(); // after what was written last
    channel.unpipe().resume(); // a client may go on sending: nobody keeps it
  });
  return {
    ended,
    clientGone() {
      joined.clientGone();
      deadline ??= setTimeout(() => server.kill(), END_MS);
    },
    kill: () => server.kill(),
  };
}
