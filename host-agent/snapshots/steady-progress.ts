/** Progress for a person: not more of it than they can read. */
import type { Progress } from '../../shared/rpc/method.ts';

const EVERY_MS = 500;

/** Passes on the first word of each step, and then one now and then. @param now milliseconds. */
export function steadyProgress(
  progress: ((progress: Progress) => void) | undefined,
  now: () => number = () => performance.now(),
): (progress: Progress) => void {
  let step: string | undefined;
  let saidAt = 0;
  return (word) => {
    const over = word.done !== undefined && word.done === word.total;
    if (word.step === step && !over && now() - saidAt < EVERY_MS) return;
    step = word.step;
    saidAt = now();
    progress?.(word);
  };
}
