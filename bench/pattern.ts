/** The bytes that all bulk measurements send: the same for all, and not compressible. */
import { createCipheriv } from 'node:crypto';

/** Plaintext of one record of the channel, and so also of one plain message. */
export const MESSAGE_BYTES = 64 * 1024;
const PATTERN_BYTES = 1024 * 1024;

/** AES-CTR of zeros under a fixed key. */
export function makePattern(): Buffer {
  return createCipheriv('aes-256-ctr', Buffer.alloc(32, 7), Buffer.alloc(16)).update(Buffer.alloc(PATTERN_BYTES));
}

/** The messages of a transfer of `bytes`, a multiple of the message's length. No copies are made. */
export function* messages(pattern: Buffer, bytes: number): Generator<Buffer, void, void> {
  for (let at = 0; at < bytes; at += MESSAGE_BYTES) {
    const from = at % pattern.length;
    yield pattern.subarray(from, from + MESSAGE_BYTES);
  }
}

/** Bytes of one transfer: a quarter of a GiB for each second wanted, in whole messages. */
export function transferBytes(seconds: number): number {
  return Math.max(1, Math.round((seconds * 256 * 1024 * 1024) / MESSAGE_BYTES)) * MESSAGE_BYTES;
}

export const gbps = (bytes: number, seconds: number): number => (bytes * 8) / seconds / 1e9;
