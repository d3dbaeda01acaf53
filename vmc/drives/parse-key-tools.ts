/** What cryptsetup and the kernel say about keys and memory. */

/** @returns the slot of "Key slot 1 unlocked." */
export function parseUnlockedSlot(text: string): number | undefined {
  const found = /^Key slot (\d{1,2}) unlocked\.$/m.exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** @param text /proc/meminfo. @returns bytes that programs can still have; 0 when it does not say. */
export function parseMemAvailable(text: string): number {
  const kib = /^MemAvailable:\s+(\d{1,12}) kB$/m.exec(text)?.[1];
  return kib === undefined ? 0 : Number(kib) * 1024;
}
