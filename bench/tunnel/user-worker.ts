/** The program on the user's device that uses the tunnel. */
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { serveWorker } from '../serve-worker.ts';
import { closeEcho, type EchoStream, openMany } from './echo-stream.ts';
import { TransferStream } from './transfer-stream.ts';

const portSchema = z.int().min(1).max(65535);
const orderSchema = z.strictObject({
  direction: z.enum(['up', 'down']),
  bytes: z.int().positive(),
  hashed: z.boolean(),
});
const openSchema = z.strictObject({ port: portSchema, streams: z.int().positive(), order: orderSchema });
const manySchema = z.strictObject({
  ports: z.array(portSchema).min(1),
  count: z.int().positive(),
  atOnce: z.int().positive(),
  pauseMs: z.int().nonnegative(),
});

const held: EchoStream[] = [];
let streams: TransferStream[] = [];

serveWorker({
  /** @returns when the service is ready at the end of each. */
  async open(input) {
    const { port, streams: count, order } = openSchema.parse(input);
    streams = Array.from({ length: count }, () => new TransferStream(port, order));
    await Promise.all(streams.map(({ ready }) => ready));
  },

  /** All streams at once, each with the bytes of the order. */
  async go() {
    const started = performance.now();
    const hashes = await Promise.all(streams.map((stream) => stream.go()));
    return { seconds: (performance.now() - started) / 1000, hashes };
  },

  async close() {
    await Promise.all(streams.splice(0).map((stream) => stream.close()));
  },

  /** Streams that are opened, echo one byte, end, and leave a pause. @returns how long each took to its byte. */
  async churn(input) {
    const { pauseMs, ...many } = manySchema.parse(input);
    const milliseconds: number[] = [];
    const started = performance.now();
    await openMany(many, async (stream) => {
      milliseconds.push(stream.milliseconds);
      await closeEcho(stream);
      if (pauseMs > 0) await delay(pauseMs);
    });
    return { seconds: (performance.now() - started) / 1000, milliseconds };
  },

  /** Streams that stay. */
  async hold(input) {
    await openMany(manySchema.parse(input), (stream) => void held.push(stream));
  },

  /** @returns how many were still alive. */
  async release() {
    const alive = held.filter(({ socket }) => !socket.closed).length;
    await Promise.all(held.splice(0).map(closeEcho));
    return { alive };
  },
});
