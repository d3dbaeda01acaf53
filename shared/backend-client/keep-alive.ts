/** Finds a dead peer of a websocket to the backend: by pings, and soon after this machine slept or moved. */
import type { WebSocket } from 'ws';
import { onDisturbance } from '../net/disturbance.ts';

export interface KeepAliveTimes {
  /** Milliseconds between looks. */
  lookMs: number;
  /** Milliseconds between pings. */
  pingMs: number;
  /** Nothing was heard for so long: it is dead. With `lookMs`, at most 30 s (C1). */
  deadMs: number;
  /** The same after a disturbance. */
  probeMs: number;
}

export const KEEP_ALIVE: KeepAliveTimes = { lookMs: 2_000, pingMs: 10_000, deadMs: 25_000, probeMs: 6_000 };

/** Pings while the socket lives, and terminates it when nothing came back. */
export function keepAlive(socket: WebSocket, times: KeepAliveTimes = KEEP_ALIVE): void {
  const now = () => performance.now();
  let heardAt = now();
  let pingAt = now() + times.pingMs;
  /** By then something must have been heard. */
  let deadAt = heardAt + times.deadMs;
  const heard = () => {
    heardAt = now();
    deadAt = heardAt + times.deadMs;
  };
  const ping = () => {
    pingAt = now() + times.pingMs;
    if (socket.readyState === socket.OPEN) socket.ping();
  };
  socket.on('pong', heard);
  socket.on('ping', heard);
  const timer = setInterval(() => {
    // A paused socket reads no pongs: its owner applies back-pressure, which is not death.
    if (socket.isPaused) heard();
    if (now() > deadAt) socket.terminate();
    else if (now() >= pingAt) ping();
  }, times.lookMs);
  const stopListening = onDisturbance(() => {
    deadAt = Math.min(deadAt, now() + times.probeMs);
    ping();
  });
  socket.once('close', () => {
    clearInterval(timer);
    stopListening();
  });
}
