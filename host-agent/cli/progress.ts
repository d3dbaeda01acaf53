/** How far long work is: one line that is rewritten on a terminal, the names of the steps elsewhere. */
import { humanBytes, type Io } from '../../shared/cli/program.ts';
import type { Progress } from '../../shared/rpc/method.ts';

const ERASE = '\r\u001b[K';

export function showProgress({ stderr }: Io, now: () => number = () => performance.now()): (it: Progress) => void {
  const terminal = 'isTTY' in stderr && stderr.isTTY === true;
  let step = '';
  let startedAt = 0;
  return (it) => {
    if (it.step !== step) {
      step = it.step;
      startedAt = now();
      if (!terminal) stderr.write(`${step}\n`);
    }
    if (!terminal) return;
    stderr.write(ERASE + progressLine(it, (now() - startedAt) / 1000));
    if (it.done !== undefined && it.done === it.total) stderr.write('\n');
  };
}

/** 'copy: 40 % of 10.0 GiB, 120.0 MiB/s, 51 s left'. @param seconds since the step began. */
export function progressLine({ step, done, total }: Progress, seconds: number): string {
  if (done === undefined || total === undefined || total === 0) return step;
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 ? `, ${humanBytes(rate)}/s, ${Math.ceil((total - done) / rate)} s left` : '';
  return `${step}: ${Math.floor((done / total) * 100)} % of ${humanBytes(total)}${left}`;
}
