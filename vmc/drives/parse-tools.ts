/** Figures in what tools print. */

/** fstrim -v: '/mnt/data: 1.9 GiB (2040109465 bytes) trimmed' → 2040109465. */
export function parseTrimmedBytes(stdout: string): number | undefined {
  const match = /\((\d+) bytes\) trimmed/.exec(stdout);
  return match === null ? undefined : Number(match[1]);
}
