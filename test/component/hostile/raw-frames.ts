/** WebSocket frames as nobody should send them (RFC 6455 5). Not a test itself. */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/** As a client has to send it, or as a server has to. */
export type Side = 'client' | 'server';

export interface RawFrame {
  /** FIN, RSV and opcode. */
  first: number;
  payload?: Uint8Array;
  /** What the header says, when that is not the truth. */
  length?: bigint;
  /** Masked as the other side would have to. */
  wrongMask?: boolean;
}

const FIN = 0x80;
const MASK = 0x80;

export function rawFrame(
  from: Side,
  { first, payload = new Uint8Array(), length, wrongMask = false }: RawFrame,
): Buffer {
  const isMasked = (from === 'client') !== wrongMask;
  const long = length !== undefined || payload.length > 125;
  const head = Buffer.alloc(long ? 10 : 2);
  head[0] = first;
  head[1] = (isMasked ? MASK : 0) | (long ? 127 : payload.length);
  if (long) head.writeBigUInt64BE(length ?? BigInt(payload.length), 2);
  return Buffer.concat([head, isMasked ? Buffer.alloc(4) : Buffer.alloc(0), payload]); // a mask of zeros changes nothing
}

/** What ends a connection, whoever sends it. By name. */
export const FORBIDDEN: Readonly<Record<string, readonly RawFrame[]>> = {
  'a compressed message': [{ first: FIN | 0x42, payload: Buffer.from([0x4b, 4, 0]) }],
  'a reserved bit': [{ first: FIN | 0x12 }],
  'an unknown opcode': [{ first: FIN | 0x03 }],
  'the wrong masking': [{ first: FIN | 0x02, payload: Buffer.from('abcd'), wrongMask: true }],
  'a ping in fragments': [{ first: 0x09 }],
  'a ping that is too long': [{ first: FIN | 0x09, payload: Buffer.alloc(126) }],
  'the rest of nothing': [{ first: FIN | 0x00, payload: Buffer.from('x') }],
  'a message within another': [{ first: 0x02, payload: Buffer.from('x') }, { first: FIN | 0x02 }],
  'a length of 1 TiB': [{ first: FIN | 0x02, length: 1n << 40n }],
  'a length of 2^63': [{ first: FIN | 0x02, length: 1n << 63n }],
  'fragments that grow too large': [
    { first: 0x02 },
    ...Array.from({ length: 70 }, () => ({ first: 0x00, payload: Buffer.alloc(1000) })),
  ],
  'fragments of nothing without end': [{ first: 0x02 }, ...Array.from({ length: 20_000 }, () => ({ first: 0x00 }))],
  'half a close code': [{ first: FIN | 0x08, payload: Buffer.from([3]) }],
  'a close code that is none': [{ first: FIN | 0x08, payload: Buffer.from([0x03, 0xe7]) }],
  'a close with garbage': [{ first: FIN | 0x08, payload: Buffer.from([0x03, 0xe8, 0xff, 0xfe]) }],
  'text that is none': [{ first: FIN | 0x01, payload: Buffer.from([0xff, 0xff]) }],
  'text that means nothing': [{ first: FIN | 0x01, payload: Buffer.from('[]') }],
};

/** What a websocket runs over. From here on the peer neither reads nor answers, unless the caller does. */
export function takeOver(socket: WebSocket): Duplex {
  const raw = (socket as unknown as { _socket: Duplex })._socket;
  raw
    .removeAllListeners('data')
    .removeAllListeners('end')
    .on('error', () => {});
  return raw;
}

export const rawFrames = (from: Side, frames: readonly RawFrame[]): Buffer =>
  Buffer.concat(frames.map((frame) => rawFrame(from, frame)));
