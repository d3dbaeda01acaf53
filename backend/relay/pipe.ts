/** Joins two websockets: binary messages are passed on unread, with back-pressure. */
import type { RawData, WebSocket } from 'ws';
import { closeSoon } from '../net/demand-proof.ts';

/** Above this much waiting for one side, the other is not read. */
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = HIGH_WATER_BYTES / 4;
/** Milliseconds in which what is buffered for one side must go out after the other has closed. */
const FLUSH_MS = 30_000;
const UNSUPPORTED = 1003; // RFC 6455 7.4.1: text, where only binary is spoken

export interface PipeEvents {
  /** A message is passed on to `to`. */
  passed(to: WebSocket): void;
}

export function joinSockets(a: WebSocket, b: WebSocket, events: PipeEvents): void {
  oneWay(a, b, events);
  oneWay(b, a, events);
}

function oneWay(from: WebSocket, to: WebSocket, events: PipeEvents): void {
  from.on('message', (data: RawData, isBinary: boolean) => {
    if (!isBinary) {
      closeSoon(from, UNSUPPORTED);
      closeSoon(to, UNSUPPORTED);
      return;
    }
    if (to.readyState !== to.OPEN) return;
    const message = data as Buffer; // binaryType is 'nodebuffer'
    events.passed(to);
    to.send(message, { binary: true, compress: false }, () => {
      if (from.isPaused && to.bufferedAmount <= LOW_WATER_BYTES) from.resume();
    });
    if (to.bufferedAmount > HIGH_WATER_BYTES) from.pause();
  });
  from.once('close', () => {
    if (to.readyState !== to.OPEN) return;
    // The close frame goes out after all that is buffered.
    const timer = setTimeout(() => to.terminate(), FLUSH_MS);
    to.once('close', () => clearTimeout(timer));
    to.close(1000);
    to.resume();
  });
}
