/**
 * Memory that each parked socket costs the relay: resident bytes of `backend relay` with all of them parked and
 * a heartbeat later, less those before the first. The VMs' ends are in other processes.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { residentBytes } from '../machine.ts';
import type { Measurement } from '../suite.ts';
import { startWorker } from '../worker.ts';
import { startSampleRelay } from './sample-relay.ts';

const CLIENTS = 2;
const SPARE_FILES = 256;
/** Longer than the relay's heartbeat, which touches every socket. */
const SETTLE_MS = 10_000;
const parkedSchema = z.strictObject({ parked: z.int() });
const lostSchema = z.strictObject({ lost: z.int() });

export const parked: Measurement = {
  name: 'parked',
  once: true,
  async start(site) {
    const count = site.settings.parked;
    const sample = await startSampleRelay(site, 'parked-relay', count);
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, (_, i) =>
        startWorker(site, {
          name: `parked-${i}`,
          script: join(import.meta.dirname, 'parked-worker.ts'),
          files: count + SPARE_FILES,
        }),
      ),
    );
    return async () => {
      const before = await residentBytes(sample.pid);
      const started = performance.now();
      const { relay, vm: identity, vms } = sample;
      const answers = await Promise.all(
        clients.map((client, i) =>
          client.ask('park', { relay, identity, vms: vms.filter((_, at) => at % CLIENTS === i) }, parkedSchema),
        ),
      );
      const seconds = (performance.now() - started) / 1000;
      // Memory has no event to wait for. Few sockets are a trial run, which may be quick.
      await delay(count >= 1000 ? SETTLE_MS : 0, undefined, { signal: site.signal });
      const after = await residentBytes(sample.pid);
      const lost = await Promise.all(clients.map((client) => client.ask('lost', {}, lostSchema)));
      const here = answers.reduce((sum, it) => sum + it.parked, 0);
      if (here !== count || lost.some((it) => it.lost > 0))
        throw new VmcError('bad-data', `Of ${count} sockets not all stayed parked.`);
      return {
        parkedBytesEach: (after.rss - before.rss) / count,
        parkedPssBytesEach: (after.pss - before.pss) / count,
        parkedSockets: count,
        relayIdleBytes: before.rss,
        parkingsPerSecond: count / seconds,
      };
    };
  },
};
