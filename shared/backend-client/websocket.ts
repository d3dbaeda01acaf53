/** A websocket to the backend, pinned. */
import type { Agent } from 'node:https';
import { WebSocket } from 'ws';
import type * as z from 'zod';
import { VmcError } from '../errors.ts';
import { RELAY_CLOSE, RELAY_MAX_MESSAGE } from '../relay-wire.ts';
import { asVmcError, type BackendAddress } from './http.ts';

const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface OpenSocketOptions {
  agent: Agent;
  /** A ticket for the relay, in base64url. */
  ticket?: string;
  maxMessageBytes?: number;
  signal?: AbortSignal;
}

/**
 * Opens a websocket and resolves with it paused: no message is lost before the caller listens (call `resume()`).
 * @throws VmcError 'unreachable', 'identity-changed', 'unauthenticated', 'cancelled'.
 */
export function openSocket(address: BackendAddress, path: string, options: OpenSocketOptions): Promise<WebSocket> {
  const url = new URL(path, address.url.replace(/^https/, 'wss'));
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted === true) return reject(new VmcError('cancelled', 'Cancelled.'));
    const socket = new WebSocket(url, {
      agent: options.agent,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      perMessageDeflate: false,
      maxPayload: options.maxMessageBytes ?? RELAY_MAX_MESSAGE,
      followRedirects: false,
      ...(options.ticket === undefined ? {} : { headers: { authorization: `Bearer ${options.ticket}` } }),
    });
    const abort = () => socket.terminate();
    options.signal?.addEventListener('abort', abort, { once: true });
    const done = () => options.signal?.removeEventListener('abort', abort);
    socket.once('open', () => {
      done();
      socket.pause();
      socket.off('error', fail);
      // Who breaks the protocol is not waited for: ws would give it 30 s to answer the close. 'close' follows, and is what everyone listens to.
      socket.on('error', () => socket.terminate());
      resolve(socket);
    });
    const fail = (error: Error) => {
      done();
      reject(options.signal?.aborted === true ? new VmcError('cancelled', 'Cancelled.') : asVmcError(error, url));
    };
    socket.on('error', fail);
    socket.once('unexpected-response', (_request, answer) => {
      answer.resume();
      socket.terminate();
      fail(
        answer.statusCode === 401
          ? new VmcError(
              'unauthenticated',
              'The relay does not accept the ticket.',
              'Is its clock right, and does it have the ticket key of this backend?',
            )
          : new VmcError('unreachable', `The backend refused the websocket with status ${answer.statusCode}.`),
      );
    });
  });
}

/**
 * The next text message of a socket from `openSocket`, which is paused again afterwards.
 * @throws VmcError 'bad-data' for anything but what `schema` says, 'timeout', or what the close code means.
 */
export async function receiveMessage<S extends z.ZodType>(
  socket: WebSocket,
  schema: S,
  deadlineMs?: number,
): Promise<z.output<S>> {
  const parsed = schema.safeParse(await receiveText(socket, deadlineMs));
  if (!parsed.success) throw new VmcError('bad-data', 'The backend sent a message that was not expected.');
  return parsed.data;
}

/** The same, whatever JSON it is. */
export function receiveText(socket: WebSocket, deadlineMs?: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const timer =
      deadlineMs === undefined
        ? undefined
        : setTimeout(
            () => settle(() => reject(new VmcError('timeout', 'The backend did not answer in time.'))),
            deadlineMs,
          );
    const settle = (then: () => void) => {
      clearTimeout(timer);
      socket.off('message', onMessage);
      socket.off('close', onClose);
      then();
    };
    const onMessage = (data: Buffer, isBinary: boolean) => {
      socket.pause();
      settle(() => {
        try {
          if (isBinary) throw new Error('binary');
          resolve(JSON.parse(data.toString('utf8')));
        } catch {
          reject(new VmcError('bad-data', 'The backend sent a message that was not expected.'));
        }
      });
    };
    const onClose = (code: number) => settle(() => reject(closeError(code)));
    socket.on('message', onMessage);
    socket.on('close', onClose);
    if (socket.readyState > socket.OPEN) onClose(1006);
    else socket.resume();
  });
}

export function closeError(code: number): VmcError {
  switch (code) {
    case RELAY_CLOSE.unauthenticated:
      return new VmcError('unauthenticated', 'The backend did not accept the signature.');
    case RELAY_CLOSE.noVmParked:
      return new VmcError(
        'unreachable',
        'The VM is not connected to the relay.',
        'Is it running? It may still be booting: `connect vm list` shows when it is ready.',
      );
    case RELAY_CLOSE.limit:
      return new VmcError(
        'limit',
        'The relay has too many connections of this kind.',
        'Close some, or try again in a while.',
      );
    default:
      return new VmcError('channel-closed', 'The connection to the backend was cut.');
  }
}
