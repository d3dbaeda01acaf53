/** How fast work goes and how long it will take, by what was done in the last seconds: a start from memory, or a pause, is soon forgotten. */
import type { Progress } from '../shared/rpc/method.ts';

/** Long enough to be steady, short enough to follow. */
const WINDOW_MS = 10_000;
const APART_MS = 250;
/** Before that much time has been seen, a rate is a guess. */
const MIN_SEEN_MS = 1_000;

export interface Pace {
  /** In the unit of the progress. */
  perSecond: number;
  /** Undefined while the total is not known, or nothing moves. */
  secondsLeft: number | undefined;
}

export interface RateMeter {
  /** @param now milliseconds of a clock that never goes back. @returns undefined while too little has been seen. */
  add(now: number, progress: Progress): Pace | undefined;
}

interface Sample {
  now: number;
  done: number;
}

export function makeRateMeter(): RateMeter {
  let step = '';
  let samples: Sample[] = [];
  return {
    add(now, progress) {
      const { done, total } = progress;
      const last = samples.at(-1);
      if (progress.step !== step || done === undefined || (last !== undefined && done < last.done)) samples = [];
      step = progress.step;
      if (done === undefined) return undefined;
      const [first = { now, done }] = samples;
      if (last === undefined || samples.length === 0 || now - last.now >= APART_MS) samples.push({ now, done });
      // One sample from before the window stays: the rate is over the whole of it.
      while ((samples[1]?.now ?? now) <= now - WINDOW_MS) samples.shift();
      const seen = now - first.now;
      if (seen < MIN_SEEN_MS) return undefined;
      const perSecond = ((done - first.done) * 1000) / seen;
      const secondsLeft = total === undefined || perSecond <= 0 ? undefined : Math.max(0, total - done) / perSecond;
      return { perSecond, secondsLeft };
    },
  };
}

/** 42 → '42 s', 192 → '3 min 12 s', 7500 → '2 h 5 min'. */
export function humanSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
