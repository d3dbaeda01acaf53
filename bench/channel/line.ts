/** One end of something that carries bytes: a channel or a plain websocket, used the same way. */
import { createHash } from 'node:crypto';
import type WebSocket from 'ws';
import type { Channel } from '../../shared/channel/channel.ts';
import { makePattern, messages } from '../pattern.ts';

export interface Line {
  send(message: Buffer): Promise<void>;
  /** Calls `take` with each message until it says that it has all. */
  receive(take: (message: Uint8Array) => boolean): Promise<void>;
}

export function channelLine(channel: Channel): Line {
  return {
    send: (message) => channel.send(message),
    async receive(take) {
      for (;;) {
        const message = await channel.receive();
        if (message === undefined) throw new Error('the channel was closed');
        if (take(message)) return;
      }
    },
  };
}

/** As much as the channel's transport lets wait. */
const HIGH_WATER_BYTES = 1024 * 1024;

/** Nothing but `ws`: the least that a program can do with it. */
export function plainLine(socket: WebSocket): Line {
  /** What came before somebody asked for it: the order to send may be quicker than the order to receive. */
  const early: Buffer[] = [];
  let taker: { take(message: Buffer): boolean; done: PromiseWithResolvers<void> } | undefined;
  const hand = (message: Buffer): void => {
    if (taker === undefined) {
      early.push(message);
      return;
    }
    const { take, done } = taker;
    if (!take(message)) return;
    taker = undefined;
    done.resolve();
  };
  socket.on('message', hand);
  socket.on('close', () => taker?.done.reject(new Error('the websocket was closed')));
  if (socket.isPaused) socket.resume();
  return {
    send: (message) =>
      new Promise((resolve, reject) => {
        socket.send(message, { binary: true, compress: false }, (error) => (error ? reject(error) : resolve()));
        if (socket.bufferedAmount < HIGH_WATER_BYTES) resolve();
      }),
    receive(take) {
      const done = Promise.withResolvers<void>();
      taker = { take, done };
      for (const message of early.splice(0)) hand(message);
      return done.promise;
    },
  };
}

const pattern = makePattern();

export async function sendPattern(line: Line, bytes: number): Promise<void> {
  for (const message of messages(pattern, bytes)) await line.send(message);
}

/** @returns SHA-256 of what came, when asked for. @throws when it is not `bytes` long. */
export async function receiveBytes(line: Line, bytes: number, hashed: boolean): Promise<string | undefined> {
  const hash = hashed ? createHash('sha256') : undefined;
  let received = 0;
  await line.receive((message) => {
    received += message.length;
    hash?.update(message);
    return received >= bytes;
  });
  if (received !== bytes) throw new Error(`${received} bytes came instead of ${bytes}`);
  return hash?.digest('hex');
}

/** What `receiveBytes` must return for a transfer of `bytes`. */
export function patternHash(bytes: number): string {
  const hash = createHash('sha256');
  for (const message of messages(pattern, bytes)) hash.update(message);
  return hash.digest('hex');
}
