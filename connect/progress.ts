/** One line on a terminal that says how far long work is; silent when stderr is not a terminal. */
import { humanBytes } from '../shared/cli/program.ts';
import type { Progress } from '../shared/rpc/method.ts';
import { printable } from '../shared/run.ts';
import { type ConnectIo, isTerminal } from './io.ts';

export interface ProgressLine {
  show(progress: Progress): void;
  /** Removes the line. */
  end(): void;
}

export function progressText({ step, done, total, unit }: Progress): string {
  const amount = (value: number) => (unit === 'bytes' ? humanBytes(value) : String(value));
  if (done === undefined) return step;
  return total === undefined ? `${step}: ${amount(done)}` : `${step}: ${amount(done)} of ${amount(total)}`;
}

export function progressLine(io: ConnectIo): ProgressLine {
  if (!isTerminal(io.stderr)) return { show: () => {}, end: () => {} };
  let shown = false;
  return {
    show: (progress) => {
      shown = true;
      io.stderr.write(`\r\x1b[K${printable(progressText(progress)).replaceAll('\n', ' ')}`);
    },
    end: () => {
      if (shown) io.stderr.write('\r\x1b[K');
      shown = false;
    },
  };
}
