/**
 * Bytes a second from a device's process through the backend's relay to a vmc's process, over loopback TLS: through the
 * channel in both directions, and, to see what the channel itself costs, plain.
 */
import { join } from 'node:path';
import * as z from 'zod';
import { nodeOptionsOf } from '../deployed.ts';
import { cpuSeconds } from '../machine.ts';
import { transferBytes } from '../pattern.ts';
import type { Site } from '../site.ts';
import type { Measurement } from '../suite.ts';
import { startWorker, type Worker } from '../worker.ts';
import { type SampleBackend, startSampleBackend } from './sample-backend.ts';
import { makeTransfer } from './transfer.ts';

const nothing = z.null();

export const relay: Measurement = {
  name: 'relay',
  async start(site) {
    const backend = await startSampleBackend(site, 'backend', 2);
    const [device, vm] = await pair(site, backend, 0, true);
    const [plainDevice, plainVm] = await pair(site, backend, 1, false);
    const up = await makeTransfer(site, 'relay', device, vm);
    const down = await makeTransfer(site, 'relay, down', vm, device);
    const plain = await makeTransfer(site, 'relay, plain', plainDevice, plainVm);
    const gigabytes = transferBytes(site.settings.seconds) / 1e9;
    return async () => {
      const before = await cpuSeconds(backend.pid);
      const upward = await up();
      const after = await cpuSeconds(backend.pid);
      return {
        relayGbps: upward.gbps,
        relayDownGbps: (await down()).gbps,
        relayPlainGbps: (await plain()).gbps,
        relayDeviceCpuPerGB: upward.senderCpuPerGB,
        relayRelayCpuPerGB: (after - before) / gigabytes,
        relayVmcCpuPerGB: upward.receiverCpuPerGB,
      };
    };
  },
};

async function pair(site: Site, backend: SampleBackend, index: number, channel: boolean): Promise<[Worker, Worker]> {
  const script = join(import.meta.dirname, 'end-worker.ts');
  const kind = channel ? 'channel' : 'plain';
  const vm = await startWorker(site, { name: `relay-vmc-${kind}`, script, nodeOptions: await nodeOptionsOf('vmc') });
  const device = await startWorker(site, { name: `relay-device-${kind}`, script });
  const common = { relay: backend.relay, vmId: backend.vms[index]?.vmId, channel };
  await vm.ask('park', { ...common, identity: backend.vm, pass: backend.vms[index]?.pass }, nothing);
  await device.ask('call', { ...common, identity: backend.person, peer: backend.vmKey }, nothing);
  return [device, vm];
}
