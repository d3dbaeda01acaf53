/** The same bytes from one process to another, timed from the order to send until the last one is counted. */
import * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { gbps, transferBytes } from '../pattern.ts';
import type { Site } from '../site.ts';
import type { Worker } from '../worker.ts';
import { patternHash } from './line.ts';

const sentSchema = z.strictObject({ cpuSeconds: z.number() });
const receivedSchema = z.strictObject({ cpuSeconds: z.number(), hash: z.string().nullable() });

export interface Transfer {
  gbps: number;
  /** CPU seconds of each end for each 10^9 bytes. */
  senderCpuPerGB: number;
  receiverCpuPerGB: number;
}

/** @throws VmcError 'bad-data' */
export function mustMatch(what: string, hash: string | null | undefined, expected: string): void {
  if (hash !== expected) throw new VmcError('bad-data', `${what}: what came is not what was sent.`);
}

/** Warms both up and compares the SHA-256 of all bytes; after that the rounds only count them. */
export async function makeTransfer(
  site: Site,
  what: string,
  from: Worker,
  to: Worker,
): Promise<() => Promise<Transfer>> {
  const bytes = transferBytes(site.settings.seconds);
  const go = async (hashed: boolean) => {
    const started = performance.now();
    const [received, sent] = await Promise.all([
      to.ask('receive', { bytes, hashed }, receivedSchema),
      from.ask('send', { bytes }, sentSchema),
    ]);
    return { seconds: (performance.now() - started) / 1000, received, sent };
  };
  mustMatch(what, (await go(true)).received.hash, patternHash(bytes));
  return async () => {
    const { seconds, received, sent } = await go(false);
    const gigabytes = bytes / 1e9;
    return {
      gbps: gbps(bytes, seconds),
      senderCpuPerGB: sent.cpuSeconds / gigabytes,
      receiverCpuPerGB: received.cpuSeconds / gigabytes,
    };
  };
}
