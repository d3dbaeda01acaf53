/**
 * Messages of the host link that are longer than a WebSocket message of ours may be: a list of all snapshots, a report of
 * many VMs. Every part but the last is full, and begins with a zero byte, which JSON never has.
 */
import { concatBytes } from '../bytes.ts';
import { VmcError } from '../errors.ts';
import type { MessagePipe } from '../rpc/peer.ts';

/** Of one message, in bytes: the longest lists that the methods allow fit. Its receiver buffers no more. */
export const MAX_LINK_MESSAGE = 8 * 1024 * 1024;
/** Of a part, without the byte that says that more follows. */
export const LINK_PART_BYTES = 64 * 1024 - 1;
const MORE = 0;

/** `send` throws VmcError 'limit' for a message that is too long, and nothing of it is sent; `receive` when the other side breaks the rules. */
export function linkPipe(pipe: MessagePipe): MessagePipe {
  let before: Promise<unknown> = Promise.resolve();
  return {
    send(message) {
      if (message.length > MAX_LINK_MESSAGE) return Promise.reject(tooLong(message.length));
      // One message after the other: their parts must not mix.
      const sent = before.then(() => sendParts(pipe, message));
      before = sent.catch(() => {});
      return sent;
    },
    receive: () => receiveParts(pipe),
    close: () => pipe.close(),
  };
}

async function sendParts(pipe: MessagePipe, message: Uint8Array): Promise<void> {
  let at = 0;
  for (; message.length - at > LINK_PART_BYTES; at += LINK_PART_BYTES) {
    const part = new Uint8Array(1 + LINK_PART_BYTES);
    part[0] = MORE;
    part.set(message.subarray(at, at + LINK_PART_BYTES), 1);
    await pipe.send(part);
  }
  await pipe.send(message.subarray(at));
}

async function receiveParts(pipe: MessagePipe): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  for (let bytes = 0; ; ) {
    const part = await pipe.receive();
    if (part === undefined) return undefined;
    const isLast = part[0] !== MORE;
    const body = isLast ? part : part.subarray(1);
    bytes += body.length;
    if (bytes > MAX_LINK_MESSAGE) throw tooLong(bytes);
    if (!isLast && body.length !== LINK_PART_BYTES)
      throw new VmcError('bad-data', 'The other side sent a part that is neither full nor the last.');
    if (isLast && parts.length === 0) return body;
    parts.push(body);
    if (isLast) return concatBytes(...parts);
  }
}

const tooLong = (bytes: number): VmcError =>
  new VmcError('limit', `A message of the host link has at most ${MAX_LINK_MESSAGE} bytes, not ${bytes} or more.`);
