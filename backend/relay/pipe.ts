/** Joins two websockets: binary messages are passed on unread, with back-pressure. */
import type { RawData, WebSocket } from 'ws';
import { closeSoon } from '../net/demand-proof.ts';
import type { Pulse } from '../net/heartbeat.ts';
import type { Flow } from './relay-metrics.ts';

/** Above this much waiting for one side, the other is not read. */
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = HIGH_WATER_BYTES / 4;
/** Also counted: an empty message is two bytes on the wire, and hundreds in memory. */
const HIGH_WATER_MESSAGES = 4096;
const LOW_WATER_MESSAGES = HIGH_WATER_MESSAGES / 4;
/** Milliseconds in which what is buffered for one side must go out after the other has closed. */
const FLUSH_MS = 30_000;
const UNSUPPORTED = 1003; // RFC 6455 7.4.1: text, where only binary is spoken
const AS_IT_CAME = { binary: true, compress: false, fin: true } as const;

export interface PipeEnd {
  socket: WebSocket;
  pulse: Pulse;
  /** Counts what is passed on to this end. */
  flow: Flow;
}

export function joinSockets(a: PipeEnd, b: PipeEnd): void {
  oneWay(a.socket, b);
  oneWay(b.socket, a);
}

function oneWay(from: WebSocket, { socket: to, pulse, flow }: PipeEnd): void {
  let unwritten = 0;
  const written = () => {
    unwritten--;
    if (from.isPaused && to.bufferedAmount <= LOW_WATER_BYTES && unwritten <= LOW_WATER_MESSAGES) from.resume();
  };
  from.on('message', (data: RawData, isBinary: boolean) => {
    if (!isBinary) {
      closeSoon(from, UNSUPPORTED);
      closeSoon(to, UNSUPPORTED);
      return;
    }
    if (to.readyState !== to.OPEN) return;
    const message = data as Buffer; // binaryType is 'nodebuffer'
    pulse.sent();
    flow.messages++;
    flow.bytes += message.length;
    unwritten++;
    to.send(message, AS_IT_CAME, written);
    if ((to.bufferedAmount > HIGH_WATER_BYTES || unwritten > HIGH_WATER_MESSAGES) && !from.isPaused) {
      flow.pauses++;
      from.pause();
    }
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
