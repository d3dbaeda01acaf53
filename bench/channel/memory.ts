/** Bytes a second through a channel in memory: one core seals them and opens them again. */
import { join } from 'node:path';
import * as z from 'zod';
import { gbps, transferBytes } from '../pattern.ts';
import type { Measurement } from '../suite.ts';
import { startWorker } from '../worker.ts';
import { patternHash } from './line.ts';
import { mustMatch } from './transfer.ts';

const resultSchema = z.strictObject({
  seconds: z.number().positive(),
  cpuSeconds: z.number().positive(),
  hash: z.string().nullable(),
});

export const memory: Measurement = {
  name: 'memory',
  async start(site) {
    const worker = await startWorker(site, {
      name: 'memory',
      script: join(import.meta.dirname, 'memory-worker.ts'),
      core: site.core,
    });
    const bytes = transferBytes(site.settings.seconds);
    const transfer = (hashed: boolean) => worker.ask('transfer', { bytes, hashed }, resultSchema);
    mustMatch('memory', (await transfer(true)).hash, patternHash(bytes));
    return async () => {
      const { seconds, cpuSeconds } = await transfer(false);
      return { memoryGbps: gbps(bytes, seconds), memoryCpuSecondsPerGB: cpuSeconds / (bytes / 1e9) };
    };
  },
};
