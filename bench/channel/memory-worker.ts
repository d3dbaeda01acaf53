/** A channel between two ends in one process. */
import * as z from 'zod';
import { ReplayCache } from '../../shared/channel/replay-cache.ts';
import { acceptChannel, openChannel } from '../../shared/channel/run-handshake.ts';
import { memoryPair } from '../../shared/channel/transport.ts';
import { generateIdentity } from '../../shared/identity/identity.ts';
import { ownCpuSeconds, serveWorker } from '../serve-worker.ts';
import { channelLine, receiveBytes, sendPattern } from './line.ts';

const vm = generateIdentity();
const [near, far] = memoryPair();
const [device, vmc] = (
  await Promise.all([
    openChannel(near, { identity: generateIdentity(), peer: vm.public.ed25519, purpose: 'control' }),
    acceptChannel(far, { identity: vm, authorize: () => true, replayCache: new ReplayCache() }),
  ])
).map(channelLine);
if (device === undefined || vmc === undefined) throw new Error('no channel');

const inputSchema = z.strictObject({ bytes: z.int().positive(), hashed: z.boolean() });

serveWorker({
  async transfer(input) {
    const { bytes, hashed } = inputSchema.parse(input);
    const started = performance.now();
    const cpu = ownCpuSeconds();
    const [hash] = await Promise.all([receiveBytes(vmc, bytes, hashed), sendPattern(device, bytes)]);
    return { seconds: (performance.now() - started) / 1000, cpuSeconds: ownCpuSeconds() - cpu, hash: hash ?? null };
  },
});
