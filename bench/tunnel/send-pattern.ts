/** Sends the pattern as fast as a socket takes it: the largest writes cost least. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { makePattern } from '../pattern.ts';

const pattern = makePattern();

/** @throws what the socket emits. */
export async function sendPattern(socket: Socket, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= pattern.length)
    if (!socket.write(left >= pattern.length ? pattern : pattern.subarray(0, left))) await once(socket, 'drain');
}

/** What all sockets of a process read into, one after another: a load program keeps nothing. */
export const READ_BUFFER = Buffer.allocUnsafeSlow(256 * 1024);
