/** The websocket to the backend: kept up, signed in, answering requests, sending reports. */
import type { WebSocket } from 'ws';
import { HOST_REPORT, type HostReport } from '../../shared/agent-api/index.ts';
import { linkPipe } from '../../shared/agent-api/link-pipe.ts';
import { BackendClient } from '../../shared/backend-client/client.ts';
import { closeError } from '../../shared/backend-client/websocket.ts';
import { makeBackoff } from '../../shared/backoff.ts';
import { webSocketTransport } from '../../shared/channel/websocket-transport.ts';
import { VmcError } from '../../shared/errors.ts';
import { errorFields, type Log } from '../../shared/log.ts';
import { pause } from '../../shared/net/pause.ts';
import { type Handle, RpcPeer } from '../../shared/rpc/peer.ts';
import type { Config } from '../config.ts';
import { enrolledHostId, hostIdentity } from './enrolment.ts';

const CONFIRM_MS = 10_000;

export interface LinkDeps {
  config: Config;
  log: Log;
  handle: Handle;
  report(): Promise<HostReport>;
  random(): number;
}

export interface Link {
  /** Sends a report now, if the link is up. */
  report(): Promise<void>;
  /** Resolves when the link has ended for good, after `signal` was aborted. */
  readonly ended: Promise<void>;
}

export function keepLink(deps: LinkDeps, signal: AbortSignal): Link {
  let current: RpcPeer | undefined;
  const sendReport = async (peer: RpcPeer) => {
    await peer.notify(HOST_REPORT, await deps.report());
  };

  const session = async (onUp: () => void): Promise<void> => {
    const { config, log } = deps;
    const [hostId, identity] = await Promise.all([enrolledHostId(config), hostIdentity(config)]);
    const client = new BackendClient(config.backend);
    try {
      const socket = await client.openHostLink(identity, hostId, signal);
      let closeCode: number | undefined;
      socket.once('close', (code: number) => {
        closeCode = code;
      });
      const peer = new RpcPeer(linkPipe(webSocketTransport(socket)), {
        handle: deps.handle,
        onInternalError: (method, error) => log.error('request-failed', { method, ...errorFields(error) }),
      });
      socket.on('message', () => peer.heard());
      const stop = () => void peer.close();
      signal.addEventListener('abort', stop, { once: true });
      try {
        socket.resume();
        await accepted(socket);
        onUp();
        log.info('linked', { backend: config.backend.url, hostId });
        current = peer;
        await sendReport(peer).catch((error) => {
          // Requests are answered all the same.
          if (!(error instanceof VmcError && error.code === 'limit')) throw error;
          log.error('report-failed', errorFields(error));
        });
        await peer.ended;
        throw closeError(closeCode ?? 1006);
      } finally {
        current = undefined;
        signal.removeEventListener('abort', stop);
        await peer.close();
      }
    } finally {
      client.close();
    }
  };

  const ended = (async () => {
    const backoff = makeBackoff(deps.random);
    while (!signal.aborted) {
      try {
        await session(() => backoff.reset());
      } catch (error) {
        if (signal.aborted) break;
        const waitMs = backoff.next();
        deps.log.warn('not-linked', { ...errorFields(error), retryMs: waitMs });
        await pause(waitMs, signal).catch(() => {});
      }
    }
  })();

  return {
    ended,
    async report() {
      if (current !== undefined) await sendReport(current);
    },
  };
}

/**
 * The backend does not say that it accepted the signature; it closes when it does not. Frames keep their order, so an
 * answer to a ping that was sent after the signature comes from a backend that has accepted it.
 */
function accepted(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (then: () => void) => {
      clearTimeout(timer);
      socket.off('pong', onPong);
      socket.off('close', onClose);
      then();
    };
    const onPong = () => settle(resolve);
    const onClose = (code: number) => settle(() => reject(closeError(code)));
    const timer = setTimeout(
      () => settle(() => reject(new VmcError('timeout', 'The backend did not accept the link in time.'))),
      CONFIRM_MS,
    );
    socket.on('pong', onPong);
    socket.on('close', onClose);
    if (socket.readyState > socket.OPEN) onClose(1006);
    else socket.ping();
  });
}
