/**
 * The file on the host, without a VM: how much of what a guest frees comes back, and what writing costs, by layout and by
 * the way QEMU writes it. qemu-img(1), qemu-io(1).
 */
import { rm, stat } from 'node:fs/promises';
import { run } from '../../shared/run.ts';
import { fileIn } from '../site.ts';
import type { Measurement } from '../suite.ts';

const MiB = 1024 ** 2;
const SIZE = 512 * MiB;
const WRITTEN = 128 * MiB;
const TIMEOUT_MS = 120_000;

/** Layout of the file → options of qemu-img create. */
const LAYOUTS: Record<string, readonly string[]> = {
  raw: ['-f', 'raw'],
  'qcow2-64k': ['-f', 'qcow2', '-o', 'cluster_size=64k'],
  'qcow2-64k-subclusters': ['-f', 'qcow2', '-o', 'cluster_size=64k,extended_l2=on'],
  'qcow2-128k-subclusters': ['-f', 'qcow2', '-o', 'cluster_size=128k,extended_l2=on'],
  'qcow2-32k': ['-f', 'qcow2', '-o', 'cluster_size=32k'],
  'qcow2-2m': ['-f', 'qcow2', '-o', 'cluster_size=2M'],
};
/** Cache mode and engine, as qemu-img bench wants them. */
const MODES: Record<string, readonly string[]> = {
  'none-native': ['-t', 'none', '-i', 'native'],
  'none-io_uring': ['-t', 'none', '-i', 'io_uring'],
  'none-threads': ['-t', 'none', '-i', 'threads'],
  'writeback-threads': ['-t', 'writeback', '-i', 'threads'],
  'none-native-detect-zeroes': ['-t', 'none', '-i', 'native'],
};

const formatOf = (layout: string) => (layout === 'raw' ? 'raw' : 'qcow2');
const percent = (part: number, whole: number) => (100 * part) / whole;

export const files: Measurement = {
  name: 'files',
  async start(site) {
    const path = fileIn(site, 'drive');
    const create = async (layout: string) => {
      await rm(path, { force: true });
      const args = ['create', '-q', ...(LAYOUTS[layout] ?? []), path, String(SIZE)];
      await run({ file: 'qemu-img', args, timeoutMs: TIMEOUT_MS });
    };
    const allocated = async () => (await stat(path)).blocks * 512;

    /** Half of what was written is freed, in pieces of 4 KiB to 1 MiB, as when files of all sizes are deleted. */
    const reclaimed = async (layout: string) => {
      await create(layout);
      const { commands, freed } = deletions();
      const format = formatOf(layout);
      const qemuIo = (stdin: string) =>
        run({ file: 'qemu-io', args: ['-f', format, '-d', 'unmap', '-t', 'none', path], stdin, timeoutMs: TIMEOUT_MS });
      await qemuIo(`write -P 85 0 ${WRITTEN}\nflush\n`);
      const before = await allocated();
      await qemuIo(commands);
      return percent(before - (await allocated()), freed);
    };

    /** Megabytes a second of writing `count` blocks, `step` bytes from each other. */
    const speed = async (layout: string, mode: string, blockBytes: number, step: number, totalBytes: number) => {
      const count = totalBytes / blockBytes;
      const image = mode.endsWith('detect-zeroes')
        ? ['--image-opts', `driver=${formatOf(layout)},discard=unmap,detect-zeroes=unmap,file.filename=${path}`]
        : ['-f', formatOf(layout), path];
      const args = [
        ...['bench', '-w', '--pattern=85', '-c', String(count), '-d', '16', '-s', String(blockBytes)],
        ...['-S', String(step), ...(MODES[mode] ?? []), ...image],
      ];
      const { stdout } = await run({ file: 'qemu-img', args, timeoutMs: TIMEOUT_MS });
      const seconds = Number(/completed in ([\d.]+) seconds/.exec(stdout)?.[1]);
      if (!(seconds > 0)) throw new Error(`qemu-img bench printed ${stdout}`);
      return totalBytes / seconds / 1e6;
    };

    return async () => {
      const figures: Record<string, number> = {};
      for (const layout of Object.keys(LAYOUTS)) {
        figures[`layout.${layout}.reclaimedPercent`] = await reclaimed(layout);
        await create(layout);
        const speedOf = (block: number, step: number, total: number) =>
          speed(layout, 'none-native', block, step, total);
        figures[`layout.${layout}.firstWriteMBps`] = await speedOf(MiB, MiB, WRITTEN);
        figures[`layout.${layout}.smallWriteMBps`] = await speedOf(4096, 4096 + MiB, 16 * MiB);
      }
      for (const layout of ['raw', 'qcow2-64k']) {
        await create(layout);
        await speed(layout, 'none-native', MiB, MiB, WRITTEN); // what is written again was written once
        for (const mode of Object.keys(MODES)) {
          const speedOf = (block: number, step: number, total: number) => speed(layout, mode, block, step, total);
          figures[`mode.${layout}.${mode}.largeMBps`] = await speedOf(MiB, MiB, WRITTEN);
          figures[`mode.${layout}.${mode}.smallMBps`] = await speedOf(4096, 4096, 16 * MiB);
        }
      }
      return figures;
    };
  },
};

/** The same pieces each time: a generator of pseudo-random numbers of its own (xorshift32, Marsaglia 2003). */
function deletions(): { commands: string; freed: number } {
  let state = 2_463_534_242;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const lines: string[] = [];
  let freed = 0;
  for (let at = 0; at < WRITTEN; ) {
    const size = Math.min(4096 << (random() % 9), WRITTEN - at);
    if (random() % 2 === 0) {
      lines.push(`discard ${at} ${size}`);
      freed += size;
    }
    at += size;
  }
  return { commands: `${lines.join('\n')}\nflush\n`, freed };
}
