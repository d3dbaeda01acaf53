/** Forwards TCP connections across a delay: this kernel has no netem. It delays, and limits no bandwidth. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import * as z from 'zod';
import { serveWorker } from '../serve-worker.ts';
import { delayLine } from './delay-line.ts';

const forwardSchema = z.strictObject({ port: z.int(), milliseconds: z.number().nonnegative() });

serveWorker({
  /** @returns the port that leads to `port`; `milliseconds` is added in each direction. */
  async forward(input) {
    const { port, milliseconds } = forwardSchema.parse(input);
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
      near.on('error', () => {}).once('close', () => far.destroy());
      far.on('error', () => {}).once('close', () => near.destroy());
      delayLine(near, far, milliseconds);
      delayLine(far, near, milliseconds);
    });
    server.listen({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    return { port: (server.address() as AddressInfo).port };
  },
});
