/** A port of 127.0.0.1 that leads into the tunnel. */
import { createServer, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { VmcError } from '../../shared/errors.ts';
import { isErrno } from '../../shared/files.ts';
import { cutSocket } from '../../shared/net/cut.ts';
import { join, type Wire } from '../../shared/net/join.ts';

export interface LocalPort {
  readonly port: number;
  /** Stops listening and cuts what is open. */
  close(): Promise<void>;
}

export interface LocalPortOptions {
  /** 0: any that is free. */
  port: number;
  /**
   * Makes the other half of one connection; the signal aborts when the local side has gone.
   * @param early what the local side has to say at once, see requestStream.
   */
  open(signal: AbortSignal, early: Readable): Promise<Wire>;
  onProblem(error: unknown): void;
  /** Told of each connection, before anything goes through it. */
  onConnection?(socket: Socket): void;
}

/** Connections at once; what comes beyond is closed at once. */
const MAX_CONNECTIONS = 256;

/** @throws VmcError 'port-in-use'. */
export async function listenLocally(options: LocalPortOptions): Promise<LocalPort> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (local) => {
    open.add(local);
    options.onConnection?.(local);
    local.once('close', () => open.delete(local));
    void serve(local, options);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, options.port)));
    server.listen({ host: '127.0.0.1', port: options.port }, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const local of open) local.destroy();
      }),
  };
}

async function serve(local: Socket, { open, onProblem }: LocalPortOptions): Promise<void> {
  const gone = new AbortController();
  const onGone = () => gone.abort();
  local.on('error', () => {}); // 'close' follows
  local.once('close', onGone);
  try {
    const remote = await open(gone.signal, local);
    local.off('close', onGone);
    await join({ stream: local, cut: () => cutSocket(local) }, remote);
  } catch (error) {
    cutSocket(local); // a refused connection looks like one
    if (!gone.signal.aborted) onProblem(error);
  }
}

function listenError(error: Error, port: number): VmcError {
  if (isErrno(error, 'EADDRINUSE'))
    return new VmcError('port-in-use', `Port ${port} of this device is in use.`, 'Choose another: PORT:LOCALPORT.');
  if (isErrno(error, 'EACCES'))
    return new VmcError('port-in-use', `Port ${port} of this device needs more rights.`, 'Choose one above 1023.');
  return new VmcError('port-in-use', `Port ${port} of this device cannot be used: ${error.message}.`);
}
