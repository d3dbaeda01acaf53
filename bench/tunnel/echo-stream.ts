/** A stream that is opened, has one byte echoed, and then says nothing. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { ECHO } from './load-wire.ts';

/** A stream that takes longer has stalled. Generous: the machine may be busy. */
const STALLED_MS = 20_000;

export interface EchoStream {
  readonly socket: Socket;
  /** From the order to connect to the byte that came back. */
  readonly milliseconds: number;
}

/** @throws when it is cut, or stalls. */
export async function openEcho(port: number): Promise<EchoStream> {
  const started = performance.now();
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const echoed = Promise.withResolvers<void>();
  const timer = setTimeout(() => echoed.reject(new Error('a stream stalled')), STALLED_MS);
  socket.on('error', () => {}); // 'close' follows
  socket.once('data', () => echoed.resolve());
  socket.once('close', () => echoed.reject(new Error('a stream was cut')));
  socket.write(Buffer.of(ECHO));
  try {
    await echoed.promise;
    return { socket, milliseconds: performance.now() - started };
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when both directions have ended. */
export async function closeEcho({ socket }: EchoStream): Promise<void> {
  if (socket.closed) return;
  const closed = once(socket, 'close');
  socket.end();
  await closed;
}

/** Opens `count` streams, `atOnce` at a time. @param use what becomes of each before the next one is opened. */
export async function openMany(
  { ports, count, atOnce }: { ports: readonly number[]; count: number; atOnce: number },
  use: (stream: EchoStream) => Promise<void> | void,
): Promise<void> {
  let opened = 0;
  const openSome = async (): Promise<void> => {
    while (opened < count) await use(await openEcho(ports[opened++ % ports.length] as number));
  };
  await Promise.all(Array.from({ length: atOnce }, openSome));
}
