/** One line on a terminal that says how far long work is, how fast it goes and how long it will take; silent when stderr is not a terminal. */
import { humanBytes } from '../shared/cli/program.ts';
import type { Progress } from '../shared/rpc/method.ts';
import { printable } from '../shared/run.ts';
import { type ConnectIo, isTerminal } from './io.ts';
import { humanSeconds, makeRateMeter, type Pace } from './rate.ts';

export interface ProgressLine {
  show(progress: Progress): void;
  /** Removes the line. */
  end(): void;
}

export function progressText({ step, done, total, unit }: Progress, pace?: Pace): string {
  const amount = (value: number) => (unit === 'bytes' ? humanBytes(Math.round(value)) : String(Math.round(value)));
  if (done === undefined) return step;
  const far = total === undefined ? amount(done) : `${amount(done)} of ${amount(total)}`;
  const rate = pace === undefined ? '' : `, ${amount(pace.perSecond)}/s`;
  const left = pace?.secondsLeft === undefined ? '' : `, ${humanSeconds(pace.secondsLeft)} left`;
  return `${step}: ${far}${rate}${left}`;
}

/** @param clock milliseconds, never going back. */
export function progressLine(io: ConnectIo, clock: () => number = () => performance.now()): ProgressLine {
  if (!isTerminal(io.stderr)) return { show: () => {}, end: () => {} };
  let shown = false;
  const meter = makeRateMeter();
  return {
    show: (progress) => {
      shown = true;
      const text = progressText(progress, meter.add(clock(), progress));
      io.stderr.write(`\r\x1b[K${printable(text).replaceAll('\n', ' ')}`);
    },
    end: () => {
      if (shown) io.stderr.write('\r\x1b[K');
      shown = false;
    },
  };
}
