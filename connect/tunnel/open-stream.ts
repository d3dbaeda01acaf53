/** One stream through the tunnel: CONNECT (RFC 9110, 9.3.6) over a connection of its own, then raw bytes. */
import type { Readable } from 'node:stream';
import { type ErrorCode, VmcError } from '../../shared/errors.ts';
import type { Wire } from '../../shared/net/join.ts';
import { parseConnectAnswer } from './connect-answer.ts';
import { type Connection, cancelled, openConnection, type TlsMemory, type TunnelPath } from './connection.ts';

export type { TunnelPath } from './connection.ts';

/** The VM itself answered, and said no: trying again by another path would not help. */
export class StreamRefused extends VmcError {
  readonly status: number;

  constructor(vmPort: number, status: number, reason: string) {
    const code: ErrorCode =
      status === 403 ? 'forbidden' : status === 429 ? 'limit' : status === 502 ? 'unreachable' : 'bad-data';
    super(code, `The VM refused a connection to its port ${vmPort} (${status}): ${reason}`);
    this.name = 'StreamRefused';
    this.status = status;
  }
}

/** The connection ended before the VM answered, when bytes of the stream had gone out: nobody knows whether they arrived. */
export class StreamLost extends VmcError {
  constructor(vmPort: number) {
    super(
      'channel-closed',
      `The tunnel was cut while a connection to port ${vmPort} of the VM was being opened.`,
      'What had been sent may have arrived: it is not sent twice. Try again.',
    );
    this.name = 'StreamLost';
  }
}

const ANSWER_MS = 20_000;
/** For a connection that had waited, and may have died of it. */
const DOUBTED_ANSWER_MS = 4_000;
/** What goes out before the VM has answered. What comes after it waits for the answer. */
const EARLY_BYTES = 64 * 1024;

/**
 * Asks for a port over a connection that is ready. What `early` has to say goes out right behind, not waiting for the answer:
 * so a stream costs one round trip. `early` is not ended, and has lost only what has been sent.
 * @param doubted no answer for 4 s is taken for a dead connection, as long as nothing of `early` was sent.
 * @throws StreamRefused, StreamLost; VmcError 'bad-data', 'channel-closed' (nothing of `early` was sent), 'timeout', 'cancelled'.
 */
export function requestStream(
  connection: Connection,
  vmPort: number,
  signal: AbortSignal,
  early?: Readable,
  doubted = false,
): Promise<Connection> {
  const { promise, resolve, reject } = Promise.withResolvers<Connection>();
  const { stream: tls } = connection;
  let received: Buffer = Buffer.alloc(0);
  let sent = 0;

  const settle = () => {
    clearTimeout(timer);
    clearTimeout(doubt);
    clearImmediate(begin);
    signal.removeEventListener('abort', onAbort);
    tls.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onError);
    early?.off('readable', sendEarly);
  };
  const fail = (error: unknown) => {
    settle();
    tls.on('error', () => {}); // 'close' follows
    tls.destroy();
    reject(error);
  };
  const take = (ended: boolean) => {
    const answer = parseConnectAnswer(received, ended);
    if (answer.kind === 'more') return;
    if (answer.kind === 'refused') return fail(new StreamRefused(vmPort, answer.status, answer.reason));
    if (answer.kind === 'malformed') return fail(received.length === 0 ? lost() : notATunnel());
    settle();
    tls.pause();
    if (received.length > answer.headBytes) tls.unshift(received.subarray(answer.headBytes));
    // Not from within this event: when the local side has ended already, the stream is ended in the next moment, and Node
    // (TLSWrap::DoShutdown, which calls SSL_shutdown twice) then throws away records that came in one piece with this one.
    setImmediate(resolve, connection);
  };
  const lost = () => (sent > 0 ? new StreamLost(vmPort) : permissionEnded());
  const sendEarly = () => {
    while (early !== undefined && early.readableLength > 0 && sent < EARLY_BYTES) {
      // Just what is there: to read beyond it would make its end known to nobody.
      const chunk: Buffer | null = early.read(Math.min(early.readableLength, EARLY_BYTES - sent));
      if (chunk === null) return;
      sent += chunk.length;
      tls.write(chunk);
    }
  };
  const onData = (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    take(false);
  };
  const onEnd = () => take(true);
  const onClose = () => fail(lost());
  const onError = () => {}; // 'close' follows
  // A connection that has died while it waited shows by then, and nothing of `early` is lost with it.
  const begin = setImmediate(() => {
    sendEarly();
    early?.on('readable', sendEarly);
  });
  const onAbort = () => fail(cancelled());
  const onDoubt = () => {
    if (sent === 0) fail(permissionEnded());
  };
  const doubt = doubted ? setTimeout(onDoubt, DOUBTED_ANSWER_MS) : undefined;
  const timer = setTimeout(
    () => fail(new VmcError('timeout', `No answer of the VM for its port ${vmPort} within ${ANSWER_MS / 1000} s.`)),
    ANSWER_MS,
  );
  if (tls.closed || tls.destroyed) {
    fail(permissionEnded());
    return promise;
  }
  tls.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onError);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) {
    onAbort();
    return promise;
  }
  const request = `CONNECT localhost:${vmPort} HTTP/1.1\r\nHost: localhost:${vmPort}\r\n\r\n`;
  tls.write(request);
  tls.resume();
  return promise;
}

/** Over a new connection. @throws as openConnection and requestStream do. */
export async function openStream(
  path: TunnelPath,
  vmPort: number,
  signal: AbortSignal,
  { early, memory }: { early?: Readable | undefined; memory?: TlsMemory } = {},
): Promise<Wire> {
  return requestStream(await openConnection(path, signal, memory), vmPort, signal, early);
}

const permissionEnded = () =>
  new VmcError('channel-closed', 'The VM closed the tunnel without an answer: its permission may have ended.');
const notATunnel = () => new VmcError('bad-data', 'The other end of the tunnel does not speak HTTP/1.1.');
