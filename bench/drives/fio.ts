/** What people's programs get of a drive: ours, LUKS by hand with the same options, and a disk without LUKS. fio(1). */
import { randomBytes } from 'node:crypto';
import * as z from 'zod';
import type { VmProgram } from '../../demo/vm-program-client.ts';
import { parseJson } from '../../shared/validate.ts';
import type { Measurement } from '../suite.ts';
import { benchVm } from './bench-vm.ts';
import { byHand, MAKE_EXT4, makeKeyFile } from './by-hand.ts';

const FILE_MIB = 256;
/** 1 MiB blocks one after another, 4 at a time; 4 KiB blocks anywhere, 16 at a time. */
const PATTERNS = {
  seqRead: ['--rw=read', '--bs=1M', '--iodepth=4'],
  seqWrite: ['--rw=write', '--bs=1M', '--iodepth=4'],
  randRead: ['--rw=randread', '--bs=4k', '--iodepth=16'],
  randWrite: ['--rw=randwrite', '--bs=4k', '--iodepth=16'],
} as const;
export type Pattern = keyof typeof PATTERNS;
export const PATTERN_NAMES = Object.keys(PATTERNS) as Pattern[];

const outputSchema = z.object({
  jobs: z
    .array(
      z.object({
        error: z.literal(0),
        read: z.object({ bw_bytes: z.number() }),
        write: z.object({ bw_bytes: z.number() }),
      }),
    )
    .length(1),
});

/** @returns MB/s. */
async function measure(vm: VmProgram, folder: string, pattern: Pattern, seconds: number): Promise<number> {
  const stdout = await vm.exec([
    'fio',
    ...['--name=bench', `--filename=${folder}/fio`, `--size=${FILE_MIB}M`, '--output-format=json'],
    ...['--ioengine=libaio', '--direct=1', '--time_based', `--runtime=${seconds}`, ...PATTERNS[pattern]],
  ]);
  const job = parseJson(outputSchema, stdout.slice(stdout.indexOf('{')), 'what fio printed').jobs[0];
  const bytes = pattern.endsWith('Read') ? job?.read.bw_bytes : job?.write.bw_bytes;
  if (bytes === undefined || bytes === 0) throw new Error('fio did nothing');
  return bytes / 1e6;
}

export const fio: Measurement = {
  name: 'fio',
  async start(site) {
    const { vm, control, addDrive } = await benchVm(site);
    const [ours, theirs, plain] = [await addDrive('fio-ours'), await addDrive('fio-luks'), await addDrive('fio-plain')];
    const key = randomBytes(32).toString('base64');
    const { driveId } = ours;
    await control.call('driveFormat', { driveId, key });
    await control.call('driveOpen', { driveId, key, name: 'fio-ours' });
    await makeKeyFile(vm);
    const hand = { device: theirs.device, name: 'fio-luks' };
    await byHand(vm, 'format', hand);
    await byHand(vm, 'open', hand);
    await vm.exec([
      'sh',
      '-c',
      `${MAKE_EXT4} "$1" && mkdir -p /mnt/plain && mount "$1" /mnt/plain`,
      'sh',
      plain.device,
    ]);
    const folders = { ours: '/mnt/fio-ours', luksByHand: `/mnt/${hand.name}`, plain: '/mnt/plain' };
    // The whole file once, so that no round pays for what is written for the first time.
    for (const folder of Object.values(folders))
      await vm.exec(['dd', 'if=/dev/urandom', `of=${folder}/fio`, 'bs=1M', `count=${FILE_MIB}`, 'conv=fsync'], {
        timeoutMs: 300_000,
      });

    const seconds = Math.max(1, Math.round(site.settings.seconds * 3));
    let round = 0;
    return async () => {
      round++;
      const figures: Record<string, number> = {};
      for (const pattern of PATTERN_NAMES) {
        const turns = Object.entries(folders);
        for (const [target, folder] of round % 2 === 1 ? turns : turns.toReversed())
          figures[`rows.${pattern}.${target}.MBps`] = await measure(vm, folder, pattern, seconds);
      }
      return figures;
    };
  },
};
