/** What tools print. */
import { shortened } from '../../shared/printable.ts';

/** fstrim -v: '/mnt/data: 1.9 GiB (2040109465 bytes) trimmed' → 2040109465. */
export function parseTrimmedBytes(stdout: string): number | undefined {
  const match = /\((\d+) bytes\) trimmed/.exec(stdout);
  return match === null ? undefined : Number(match[1]);
}

/** `xfs_io -c statfs`: the bytes of an allocation group. */
export function parseGroupBytes(stdout: string): number | undefined {
  const value = (name: string) => new RegExp(`^geom\\.${name} = (\\d+)$`, 'm').exec(stdout)?.[1];
  const [size, blocks] = [value('bsize'), value('agblocks')];
  return size === undefined || blocks === undefined ? undefined : Number(size) * Number(blocks);
}

/** `xfs_logprint -t`: whether the log holds changes that are not yet in place. */
export function parseXfsLogDirty(stdout: string): boolean | undefined {
  const state = /^\s*log tail: \d+ head: \d+ state: <(CLEAN|DIRTY)>/m.exec(stdout)?.[1];
  return state === undefined ? undefined : state === 'DIRTY';
}

/** The end of what a tool said, for people: at most 20 lines of 200 characters. */
export function lastWords(text: string): string[] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines
    .filter((line) => line !== '')
    .slice(-20)
    .map((line) => shortened(line, 199));
}
