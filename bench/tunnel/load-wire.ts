/** What the two load programs say to each other over each TCP connection, through whatever tunnel. Pure. */

/** The user's first byte. ECHO: this byte and all that follow come back. */
export const ECHO = 0x45; // 'E'
const KINDS = { up: 0x55, down: 0x44 } as const; // 'U', 'D'

export type Direction = keyof typeof KINDS;

/** One transfer. The service answers with READY; the user then sends GO (down) or the bytes (up). */
export interface Order {
  direction: Direction;
  bytes: number;
  hashed: boolean;
}

// 1 B kind, 1 B hashed (0 or 1), 8 B bytes
export const ORDER_BYTES = 10;
export const READY = 0x52; // 'R'
export const GO = 0x47; // 'G'
/** After the last byte that goes up the service sends a SHA-256, of zeros when none was asked for. */
export const DIGEST_BYTES = 32;

export function encodeOrder({ direction, bytes, hashed }: Order): Buffer {
  const order = Buffer.alloc(ORDER_BYTES);
  order[0] = KINDS[direction];
  order[1] = hashed ? 1 : 0;
  order.writeBigUInt64BE(BigInt(bytes), 2);
  return order;
}

/** @throws RangeError */
export function decodeOrder(order: Buffer): Order {
  const direction = (['up', 'down'] as const).find((name) => KINDS[name] === order[0]);
  if (direction === undefined || order.length !== ORDER_BYTES) throw new RangeError('not an order');
  return { direction, hashed: order[1] === 1, bytes: Number(order.readBigUInt64BE(2)) };
}
