/** When may a VM that QEMU has stopped for lack of space go on? Pure. */

const FIRST_WAIT_MS = 5000;
const LONGEST_WAIT_MS = 5 * 60_000;
/** A VM that ran for so long since it was let go on starts with a clean slate. */
const FORGET_MS = 10 * 60_000;

/** Of one VM: how often it was let go on, and when last. Milliseconds on one clock. */
export interface Resumed {
  times: number;
  at: number;
}

/** How long after it was let go on it may be again: doubled each time, for a pool that is full again at once. */
export const waitMs = ({ times }: Resumed): number => Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (times - 1));

/** @param neededBytes free space above which a stopped VM may go on. */
export function mayResume(before: Resumed | undefined, now: number, freeBytes: number, neededBytes: number): boolean {
  return freeBytes >= neededBytes && (before === undefined || now - before.at >= waitMs(before));
}

export const isForgotten = (before: Resumed, now: number): boolean => now - before.at >= FORGET_MS;
