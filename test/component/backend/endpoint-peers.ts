/** What stands at the two ends of an endpoint in tests: an echo server, and a client that sends and reads to the end. */
import { connect, createServer, type Server, type Socket } from 'node:net';

interface Tap {
  teardown(work: () => unknown): void;
}

/** @param serve what it does with each connection; without it, an echo that keeps half-close. */
export async function startPeer(
  t: Tap,
  serve: (socket: Socket) => void = (socket) => void socket.pipe(socket),
): Promise<{ server: Server; port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return { server, sockets, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

/** Sends and half-closes; resolves with all that came back, rejects when it was cut. */
export function exchange(port: number, bytes: Uint8Array, localAddress = '127.0.0.1'): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: '127.0.0.1', port, localAddress, allowHalfOpen: true });
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.end(bytes);
  });
}

/** A stream that has carried a byte to the other end and back. */
export async function holdStream(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject).once('data', () => resolve());
    socket.write('x');
  });
  return socket;
}

/** Resolves with the error's code when it is cut, with 'end' when it ends properly. */
export function endOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('end', () => resolve('end')).resume();
  });
}
