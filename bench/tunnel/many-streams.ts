/** Many streams through ends that have carried nothing before: idle ones at the same time, and short ones in a row. */
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { residentBytes } from '../machine.ts';
import type { Site } from '../site.ts';
import { median } from '../statistics.ts';
import type { Measurement } from '../suite.ts';
import { WITH_GC } from './live-bytes.ts';
import { churn, startLoad } from './load.ts';
import { startOurEnds } from './our-peer.ts';

/** Fewer than a local port of connect takes at once. */
const PER_LISTENER = 200;
const AT_ONCE = 8;
const WARM_UP = 20;
const SETTLE_MS = 5000;
/** Ready connections come and go. */
const SPARE_FILES = 16;

/** Memory has no event to wait for. Few streams are a trial run, which may be quick. */
const settle = async (site: Site, streams: number): Promise<void> => {
  await delay(streams >= 100 ? SETTLE_MS : 0, undefined, { signal: site.signal });
};

export const idleStreams: Measurement = {
  name: 'idle-streams',
  once: true,
  async start(site) {
    const count = site.settings.idle;
    const load = await startLoad(site);
    const { vm, device, doorPort, forward } = await startOurEnds(site, 'idle');
    const ports = await forward(doorPort, Math.ceil(count / PER_LISTENER));
    await churn(load, { ports, count: WARM_UP, atOnce: 1, pauseMs: 0 });
    return async () => {
      await settle(site, count);
      const before = { vm: await residentBytes(vm.pid), device: await residentBytes(device.pid) };
      await load.user.ask('hold', { ports, count, atOnce: AT_ONCE, pauseMs: 0 }, z.null());
      await settle(site, count);
      const after = { vm: await residentBytes(vm.pid), device: await residentBytes(device.pid) };
      const { alive } = await load.user.ask('release', {}, z.strictObject({ alive: z.int() }));
      if (alive !== count) throw new VmcError('bad-data', `Of ${count} idle streams only ${alive} stayed.`);
      return {
        idleStreamBytesEach: (after.vm.rss - before.vm.rss) / count,
        idleStreamDeviceBytesEach: (after.device.rss - before.device.rss) / count,
        idleStreams: count,
      };
    };
  },
};

export const streamsInARow: Measurement = {
  name: 'streams-in-a-row',
  once: true,
  async start(site) {
    const count = site.settings.inARow;
    const load = await startLoad(site);
    const { vm, device, doorPort, forward } = await startOurEnds(site, 'in-a-row', [WITH_GC]);
    const ports = await forward(doorPort, 1);
    const go = (streams: number) => churn(load, { ports, count: streams, atOnce: 1, pauseMs: 0 });
    const look = async (): Promise<Held> => ({
      vm: await vm.ask('liveBytes', {}, z.number()),
      device: await device.ask('liveBytes', {}, z.number()),
      vmResident: (await residentBytes(vm.pid)).rss,
      deviceResident: (await residentBytes(device.pid)).rss,
      files: (await filesOf(vm.pid)) + (await filesOf(device.pid)),
    });
    return async () => {
      await go(Math.ceil(count / 10));
      await settle(site, count);
      const before = await look();
      const { seconds, milliseconds } = await go(count);
      await settle(site, count);
      const after = await look();
      if (after.files > before.files + SPARE_FILES)
        throw new VmcError('bad-data', `${after.files - before.files} files more are open than before the streams.`);
      return {
        streamsInARow: count,
        inARowSeconds: seconds,
        inARowMedianMs: median(milliseconds),
        inARowSlowestMs: Math.max(...milliseconds),
        inARowVmBytesMore: after.vm - before.vm,
        inARowDeviceBytesMore: after.device - before.device,
        inARowVmResidentBefore: before.vmResident,
        inARowVmResidentAfter: after.vmResident,
        inARowDeviceResidentBefore: before.deviceResident,
        inARowDeviceResidentAfter: after.deviceResident,
        inARowFilesMore: after.files - before.files,
      };
    };
  },
};

/** Bytes that are not garbage, resident ones, and open files of both ends. */
interface Held {
  vm: number;
  device: number;
  vmResident: number;
  deviceResident: number;
  files: number;
}

const filesOf = async (pid: number): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;
