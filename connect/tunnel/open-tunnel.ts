/** What every command that leads into a VM does: the grant, ports of 127.0.0.1 that lead through the tunnel, and the end of all. */
import { publicError } from '../../shared/errors.ts';
import type { Vm } from '../../shared/rest-api/machines.ts';
import { type ConnectIo, isTerminal, note } from '../io.ts';
import type { Session } from '../session.ts';
import { type AccessOptions, TunnelAccess } from './access.ts';
import { listenLocally } from './local-port.ts';
import { StreamCounter, type StreamCounts } from './stream-counter.ts';
import { type PathState, StreamPool } from './stream-pool.ts';

export interface Tunnel {
  readonly access: TunnelAccess;
  /** Listens at 127.0.0.1. @param localPort 0: any that is free. @throws VmcError 'port-in-use'. */
  listen(vmPort: number, localPort: number): Promise<ForwardedPort>;
  /** Streams will come soon. */
  warm(): void;
}

export interface ForwardedPort {
  readonly vmPort: number;
  readonly port: number;
  counts(): StreamCounts;
}

export interface TunnelOptions extends AccessOptions {
  onState?: (state: PathState, why?: string) => void;
}

/** Ends grant, endpoint, listeners and streams when `use` does. */
export async function withTunnel<T>(
  session: Session,
  vm: Vm,
  use: (tunnel: Tunnel) => Promise<T>,
  { onState, ...options }: TunnelOptions = {},
): Promise<T> {
  const { io } = session;
  const access = new TunnelAccess(session, vm, options);
  const pool = new StreamPool(access, onState === undefined ? {} : { onState });
  const ends: (() => Promise<void>)[] = [];
  try {
    return await use({
      access,
      warm: () => pool.warm(),
      listen: async (vmPort, localPort) => {
        const counter = new StreamCounter();
        const local = await listenLocally({
          port: localPort,
          open: (gone, early) => pool.open(vmPort, gone, early), // which aborts at the end too: the local side is closed then
          onProblem: (error) => problem(io, error),
          onConnection: (socket) => counter.watch(socket),
        });
        ends.push(() => local.close());
        return { vmPort, port: local.port, counts: () => counter.counts() };
      },
    });
  } finally {
    pool.close();
    await Promise.all(ends.map((end) => end()));
    for (const error of await access.close())
      note(io, `connect: not everything could be ended, it will expire: ${publicError(error).message}`);
  }
}

function problem(io: ConnectIo, error: unknown): void {
  if (io.signal.aborted) return;
  const { message, hint } = publicError(error);
  if (isTerminal(io.stderr)) io.stderr.write('\r\x1b[K'); // where the line of status stands
  note(io, `connect: ${message}${hint === undefined ? '' : `\n  hint: ${hint}`}`);
}

export function untilStopped({ signal }: ConnectIo): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
