/**
 * Full handshakes a second on one core, each side by itself. Both run in one process that is pinned to a core, a batch
 * of them step by step: what the one side has to say is ready before the other's clock starts. Counted is CPU time,
 * all threads, so another program on that core does not make a figure worse. The device is measured with the
 * cryptography of `connect`, and with that of a browser.
 */
import { join } from 'node:path';
import * as z from 'zod';
import type { Measurement } from '../suite.ts';
import { startWorker } from '../worker.ts';

const spentSchema = z.strictObject({ cpu: z.number().positive(), wall: z.number().positive() });
const resultSchema = z.strictObject({ handshakes: z.int().positive(), vmc: spentSchema, device: spentSchema });

export const handshakes: Measurement = {
  name: 'handshakes',
  async start(site) {
    const worker = await startWorker(site, {
      name: 'handshakes',
      script: join(import.meta.dirname, 'handshakes-worker.ts'),
      core: site.core,
    });
    const run = (device: 'native' | 'portable') =>
      worker.ask('run', { seconds: site.settings.seconds, device }, resultSchema);
    await run('native'); // warm
    await run('portable');
    return async () => {
      const { handshakes: count, vmc, device } = await run('native');
      const browser = await run('portable');
      return {
        vmcHandshakesPerSecond: count / vmc.cpu,
        deviceHandshakesPerSecond: count / device.cpu,
        portableDeviceHandshakesPerSecond: browser.handshakes / browser.device.cpu,
        vmcHandshakesPerWallSecond: count / vmc.wall,
        deviceHandshakesPerWallSecond: count / device.wall,
      };
    };
  },
};
