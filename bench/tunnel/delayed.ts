/** One stream across a long way, where a window decides: ours against OpenSSH, whose channels have 2 MiB. Raw: what the way itself can carry. */
import { join } from 'node:path';
import * as z from 'zod';
import { transferBytes } from '../pattern.ts';
import type { Measurement } from '../suite.ts';
import { startWorker } from '../worker.ts';
import { startLoad, transfer } from './load.ts';
import type { Direction } from './load-wire.ts';
import { ourEnds } from './our-peer.ts';
import type { Peer } from './peer.ts';
import { forward as forwardSsh, sshGcmServer } from './ssh-peer.ts';

/** 40 ms from one end to the other and back. */
const EACH_WAY_MS = 20;
/** Of the bytes that the bulk measurements of the channel send: 128 MiB for each second wanted. */
const PART = 0.5;

export const delayed: Measurement = {
  name: 'delayed',
  async start(site) {
    const load = await startLoad(site);
    const bytes = transferBytes(site.settings.seconds * PART);
    const line = await startWorker(site, { name: 'delay', script: join(import.meta.dirname, 'delay-worker.ts') });
    const farther = async (port: number): Promise<number> => {
      const answer = await line.ask('forward', { port, milliseconds: EACH_WAY_MS }, z.strictObject({ port: z.int() }));
      return answer.port;
    };
    const { vm, device, doorPort, forward } = await ourEnds(site);
    const [port = 0] = await forward(await farther(doorPort), 1);
    const ours: Peer = { port, server: [vm.pid], client: [device.pid] };
    const server = await sshGcmServer(site);
    const ssh = await forwardSsh(site, 'ssh-delayed', { ...server, port: await farther(server.port) });
    const mbps = async (peer: Peer, direction: Direction, hashed = false): Promise<number> => {
      const { seconds } = await transfer(load, peer, { streams: 1, direction, bytes, hashed });
      return (bytes * 8) / seconds / 1e6;
    };
    const raw: Peer = { port: await farther(load.servicePort), server: [], client: [] };
    for (const peer of [raw, ours, ssh])
      for (const direction of ['up', 'down'] as const) await mbps(peer, direction, true);
    return async () => ({
      delayedRawUpMbps: await mbps(raw, 'up'),
      delayedRawDownMbps: await mbps(raw, 'down'),
      delayedOursUpMbps: await mbps(ours, 'up'),
      delayedSshUpMbps: await mbps(ssh, 'up'),
      delayedOursDownMbps: await mbps(ours, 'down'),
      delayedSshDownMbps: await mbps(ssh, 'down'),
    });
  },
};
