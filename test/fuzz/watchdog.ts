/**
 * Notices a worker that does not get on with an input. What counts is the processor time that the thread itself has
 * used since, not the clock: on a loaded machine a healthy worker may stand still for seconds.
 */
import { readFileSync } from 'node:fs';
import type { Slot } from './slot.ts';

/** Processor time that one input may take, in milliseconds. */
export const HANG_MS = 1_000;
/** An answer that never comes costs no processor time. */
const STUCK_MS = 60_000;
/** The unit of /proc/PID/stat on Linux: sysconf(_SC_CLK_TCK) is 100 on every architecture. */
const TICK_MS = 10;

export class Watchdog {
  readonly #slot: Slot;
  readonly #stat: string;
  #inputs = -1;
  #since = { cpu: 0, wall: 0 };

  /** @param thread as /proc/thread-self says: PID/task/TID. */
  constructor(slot: Slot, thread: string) {
    this.#slot = slot;
    this.#stat = `/proc/${thread}/stat`;
  }

  /** To be called a few times a second. @returns what is wrong. */
  look(): 'hang' | 'stuck' | undefined {
    const { inputs } = this.#slot.counts;
    if (!this.#slot.busy || inputs !== this.#inputs) {
      this.#inputs = inputs;
      this.#since = { cpu: this.#cpuMs(), wall: performance.now() };
      return undefined;
    }
    if (this.#cpuMs() - this.#since.cpu > HANG_MS) return 'hang';
    return performance.now() - this.#since.wall > STUCK_MS ? 'stuck' : undefined;
  }

  /** proc_pid_stat(5): after the name in brackets, utime and stime are fields 12 and 13. */
  #cpuMs(): number {
    const fields = readFileSync(this.#stat, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }
}
