/** What a process still holds when everything that is garbage has gone: a leak shows here, and not in resident bytes alone. */
import { memoryUsage } from 'node:process';

/** For Node's options of a process that is asked. */
export const WITH_GC = '--expose-gc';

/** Bytes of JavaScript objects and of buffers. @throws TypeError without WITH_GC. */
export function liveBytes(): number {
  if (globalThis.gc === undefined) throw new TypeError(`started without ${WITH_GC}`);
  for (let i = 0; i < 2; i++) globalThis.gc(); // what finalizers free goes the second time
  const { heapUsed, external } = memoryUsage(); // external counts the buffers too
  return heapUsed + external;
}
