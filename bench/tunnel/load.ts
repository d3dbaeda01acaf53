/** The load, the same for all peers: a service, and a program that uses it, each in a process of its own. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { oncePerSite } from '../once-per-site.ts';
import { makePattern } from '../pattern.ts';
import type { Site } from '../site.ts';
import { startWorker, type Worker } from '../worker.ts';
import type { Direction } from './load-wire.ts';
import { type CpuSeconds, cpuOf, type Peer } from './peer.ts';

export interface Load {
  readonly servicePort: number;
  readonly service: Worker;
  readonly user: Worker;
}

const FILES = 16_384;

export const startLoad = oncePerSite(async (site: Site): Promise<Load> => {
  const script = (name: string) => join(import.meta.dirname, name);
  const service = await startWorker(site, { name: 'service', script: script('service-worker.ts'), files: FILES });
  const user = await startWorker(site, { name: 'user', script: script('user-worker.ts'), files: FILES });
  const { port } = await service.ask('listen', {}, z.strictObject({ port: z.int() }));
  return { servicePort: port, service, user };
});

export interface TransferOptions {
  streams: number;
  direction: Direction;
  /** Of each stream. */
  bytes: number;
  /** Compare all that arrives with what was sent. */
  hashed?: boolean;
}

export interface Churn {
  ports: readonly number[];
  count: number;
  atOnce: number;
  /** After each stream, before the next of the same turn. */
  pauseMs: number;
}

const churnedSchema = z.strictObject({ seconds: z.number(), milliseconds: z.array(z.number()).min(1) });

/** New streams that echo one byte and end. @returns seconds for all, and for each the milliseconds to its byte. */
export const churn = ({ user }: Load, options: Churn): Promise<z.output<typeof churnedSchema>> =>
  user.ask('churn', options, churnedSchema);

const wentSchema = z.strictObject({ seconds: z.number(), hashes: z.array(z.string().nullable()) });

/**
 * All streams are ready before the time and the CPU are taken, and end after it.
 * @throws VmcError 'bad-data' when something else arrives than was sent.
 */
export async function transfer(
  { user }: Load,
  peer: Peer,
  { streams, direction, bytes, hashed = false }: TransferOptions,
): Promise<{ seconds: number; cpu: CpuSeconds }> {
  await user.ask('open', { port: peer.port, streams, order: { direction, bytes, hashed } }, z.null());
  const before = await cpuOf(peer);
  const { seconds, hashes } = await user.ask('go', {}, wentSchema);
  const after = await cpuOf(peer);
  await user.ask('close', {}, z.null());
  const expected = hashed ? hashOf(bytes) : null;
  if (hashes.some((hash) => hash !== expected))
    throw new VmcError('bad-data', 'What came through the tunnel is not what was sent.');
  return { seconds, cpu: { server: after.server - before.server, client: after.client - before.client } };
}

function hashOf(bytes: number): string {
  const pattern = makePattern();
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= pattern.length)
    hash.update(pattern.subarray(0, Math.min(left, pattern.length)));
  return hash.digest('hex');
}
