/** The program on the user's device that uses the tunnel. */
import * as z from 'zod';
import { serveWorker } from '../serve-worker.ts';
import { TransferStream } from './transfer-stream.ts';

const portSchema = z.int().min(1).max(65535);
const orderSchema = z.strictObject({
  direction: z.enum(['up', 'down']),
  bytes: z.int().positive(),
  hashed: z.boolean(),
});
const openSchema = z.strictObject({ port: portSchema, streams: z.int().positive(), order: orderSchema });

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
});
