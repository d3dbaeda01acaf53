/** An HTTPS agent that trusts one public key and nothing else. Not a byte is sent before the key has been checked. */
import { timingSafeEqual } from 'node:crypto';
import { Agent, type AgentOptions, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { VmcError } from '../errors.ts';
import { spkiPin } from './pins.ts';
import { TLS_OPTIONS } from './tls.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** @throws VmcError 'identity-changed' when the server's key is not the pinned one. */
export function checkPin(socket: TLSSocket, pin: string): void {
  const seen = pinOf(socket);
  if (seen.length !== pin.length || !timingSafeEqual(Buffer.from(seen), Buffer.from(pin)))
    throw new VmcError(
      'identity-changed',
      `The backend's key is not the pinned one (expected ${pin}, got ${seen === '' ? 'none' : seen}).`,
      'Someone may stand between you and the backend. Ask its administrator for the pin that `backend pin` prints.',
    );
}

/** Empty for a server that shows no certificate, or one with a key that cannot be read: neither is the pinned one. */
function pinOf(socket: TLSSocket): string {
  const presented = socket.getPeerX509Certificate();
  try {
    return presented === undefined ? '' : spkiPin(presented.raw);
  } catch {
    return '';
  }
}

/** @param pin lower-case hex SHA-256 of the server's SPKI. */
export function pinnedAgent(pin: string, options: AgentOptions = {}): Agent {
  return new PinnedAgent(pin, { keepAlive: true, maxSockets: 8, maxCachedSessions: 0, ...options });
}

type SocketCallback = (error: Error | null, socket: Duplex) => void;

class PinnedAgent extends Agent {
  readonly #pin: string;

  constructor(pin: string, options: AgentOptions) {
    super(options);
    this.#pin = pin;
  }

  override createConnection(options: RequestOptions, callback?: SocketCallback): undefined {
    // The pin replaces the certificate authorities: hence rejectUnauthorized false, and the check below.
    const socket = connect({
      ...(options as ConnectionOptions),
      ...TLS_OPTIONS,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
    });
    const timer = setTimeout(
      () => socket.destroy(new VmcError('timeout', 'The backend did not answer in time.')),
      CONNECT_TIMEOUT_MS,
    );
    const fail = (error: Error) => {
      clearTimeout(timer);
      callback?.(error, socket);
    };
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      try {
        checkPin(socket, this.#pin);
      } catch (error) {
        socket.destroy();
        socket.off('error', fail);
        callback?.(error as Error, socket);
        return;
      }
      socket.off('error', fail);
      callback?.(null, socket);
    });
    return undefined;
  }
}
