/** Our tunnel: vmc's end and connect's end, each in a process of its own, with the options that are deployed. */
import { join } from 'node:path';
import * as z from 'zod';
import { PRODUCTS } from '../../packaging/products.ts';
import { environmentOf, nodeOptionsOf } from '../deployed.ts';
import { oncePerSite } from '../once-per-site.ts';
import type { Site } from '../site.ts';
import { startWorker, type Worker } from '../worker.ts';
import { startLoad } from './load.ts';
import type { Peer } from './peer.ts';

export interface OurEnds {
  readonly vm: Worker;
  readonly device: Worker;
  /** Where the VM's end listens. */
  readonly doorPort: number;
  /** Local ports through the door, or through what leads to it. */
  forward(doorPort: number, listeners: number): Promise<number[]>;
}

const FILES = 16_384;
const listeningSchema = z.strictObject({
  port: z.int(),
  serverCertificateSha256: z.string(),
  ready: z.strictObject({ connections: z.int(), seconds: z.number() }),
});
const forwardedSchema = z.strictObject({ ports: z.array(z.int()).min(1) });

/** @param name of the processes. @param options of Node, beside those that are deployed. */
export async function startOurEnds(site: Site, name: string, options: readonly string[] = []): Promise<OurEnds> {
  const { servicePort } = await startLoad(site);
  const vm = await startWorker(site, {
    name: `${name}-vm`,
    script: join(import.meta.dirname, 'vm-worker.ts'),
    nodeOptions: [...(await nodeOptionsOf('vmc')), ...options],
    env: await environmentOf('vmc'),
    files: FILES,
  });
  const device = await startWorker(site, {
    name: `${name}-device`,
    script: join(import.meta.dirname, 'device-worker.ts'),
    nodeOptions: [...(PRODUCTS.connect.nodeOptions ?? []), ...options],
    files: FILES,
  });
  const certificateSha256 = await device.ask('certificate', {}, z.string());
  const { port, ...vmEnd } = await vm.ask('listen', { servicePort, certificateSha256 }, listeningSchema);
  return {
    vm,
    device,
    doorPort: port,
    async forward(doorPort, listeners) {
      const input = { port: doorPort, ...vmEnd, vmPort: servicePort, listeners };
      return (await device.ask('forward', input, forwardedSchema)).ports;
    },
  };
}

/** For all measurements that need no fresh ones. */
export const ourEnds = oncePerSite((site) => startOurEnds(site, 'ours'));

export const ours = oncePerSite(async (site): Promise<Peer> => {
  const { vm, device, doorPort, forward } = await ourEnds(site);
  const [port = 0] = await forward(doorPort, 1);
  return { port, server: [vm.pid], client: [device.pid] };
});
