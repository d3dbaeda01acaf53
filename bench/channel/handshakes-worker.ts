/** Whole handshakes in one process, each side's CPU time by itself. */
import * as z from 'zod';
import { ReplayCache } from '../../shared/channel/replay-cache.ts';
import { acceptChannel, openChannel } from '../../shared/channel/run-handshake.ts';
import type { Cryptography } from '../../shared/identity/cryptography.ts';
import { generateIdentity } from '../../shared/identity/identity.ts';
import { native } from '../../shared/identity/native.ts';
import { portable } from '../../shared/identity/portable.ts';
import { ownCpuSeconds, serveWorker } from '../serve-worker.ts';
import { Post } from './post.ts';

/** Handshakes under way at once: their steps are taken side by side, as by a vmc that many people reach at once. */
const BATCH = 32;
/** Those that rest while the other side's clock runs are not to be given up, however slow the machine. */
const DEADLINE_MS = 120_000;
/** Hellos that the default cache remembers of one person; with more it would refuse. */
const CACHE_SERVES = 2_048;

const vm = generateIdentity();
const people = Array.from({ length: 8 }, () => generateIdentity());

interface Spent {
  cpu: number;
  wall: number;
}

async function spend(spent: Spent, work: () => Promise<unknown>): Promise<void> {
  const cpu = ownCpuSeconds();
  const wall = performance.now();
  await work();
  spent.cpu += ownCpuSeconds() - cpu;
  spent.wall += (performance.now() - wall) / 1000;
}

/** One step of one side for all handshakes of the batch; then the other side's. */
async function batch(by: Cryptography, replayCache: ReplayCache, vmc: Spent, device: Spent): Promise<void> {
  const devices = Array.from({ length: BATCH }, () => new Post());
  const vmcs = devices.map(() => new Post());
  let opening: Promise<unknown>[] = [];
  let accepting: Promise<unknown>[] = [];
  await spend(device, () => {
    opening = devices.map((transport, i) => {
      const identity = people[i % people.length] as (typeof people)[number];
      const peer = vm.public.ed25519;
      return openChannel(transport, { identity, peer, purpose: 'control', cryptography: by, deadlineMs: DEADLINE_MS });
    });
    return Promise.all(devices.map((post) => post.waiting()));
  });
  carry(devices, vmcs);
  await spend(vmc, () => {
    const options = { identity: vm, authorize: () => true, replayCache, deadlineMs: DEADLINE_MS };
    accepting = vmcs.map((transport) => acceptChannel(transport, options));
    return Promise.all(vmcs.map((post) => post.waiting()));
  });
  carry(vmcs, devices);
  await spend(device, () => {
    for (const post of devices) post.wake();
    return Promise.all(opening);
  });
  carry(devices, vmcs);
  await spend(vmc, () => {
    for (const post of vmcs) post.wake();
    return Promise.all(accepting);
  });
}

function carry(from: readonly Post[], to: readonly Post[]): void {
  for (const [i, post] of from.entries()) to[i]?.take(post.takeSent());
}

const inputSchema = z.strictObject({ seconds: z.number(), device: z.enum(['native', 'portable']) });

serveWorker({
  async run(input) {
    const { seconds, device: by } = inputSchema.parse(input);
    const vmc: Spent = { cpu: 0, wall: 0 };
    const device: Spent = { cpu: 0, wall: 0 };
    const until = performance.now() + seconds * 1000;
    let handshakes = 0;
    let cache = new ReplayCache();
    do {
      if (handshakes % CACHE_SERVES === 0) cache = new ReplayCache();
      await batch({ native, portable }[by], cache, vmc, device);
      handshakes += BATCH;
    } while (performance.now() < until);
    return { handshakes, vmc, device };
  },
});
