/** Ending a connection so that its far end sees a cut, not an end. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * A reset (RFC 9293, 3.10.5), where an end would pass for the last byte. A socket whose own end is on its way out is destroyed:
 * libuv refuses a reset then (uv_tcp_close_reset), and Node would lose the handle and spin at exit waiting for it.
 */
export function cutSocket(socket: Socket): void {
  if (socket.writableEnded || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

/** The same for TLS, by the TCP socket below it. One that is being closed already is left to that: its handle would be lost, too. */
export function cutTls(tls: TLSSocket, tcp: Socket): void {
  if (tls.destroyed) return;
  if (tls.writableEnded) tls.destroy();
  else tcp.resetAndDestroy();
}
