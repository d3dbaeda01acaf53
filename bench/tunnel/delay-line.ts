/** One direction of a wire that is long: what is read goes on after a while, as fast as it came. */
import type { Socket } from 'node:net';

/** Bandwidth times delay of anything here is far less, so that the line itself is no limit. */
const MOST_BYTES = 64 * 1024 * 1024;

interface Waiting {
  due: number;
  /** Undefined: the end. */
  chunk: Buffer | undefined;
}

/** Both allow half-open. */
export function delayLine(from: Socket, to: Socket, milliseconds: number): void {
  const waiting: Waiting[] = [];
  let bytes = 0;
  let timer: NodeJS.Timeout | undefined;
  let blocked = false;

  const arrive = (chunk: Buffer | undefined): void => {
    waiting.push({ due: performance.now() + milliseconds, chunk });
    bytes += chunk?.length ?? 0;
    if (bytes > MOST_BYTES) from.pause();
    plan();
  };
  const plan = (): void => {
    const [next] = waiting;
    if (next === undefined || blocked || timer !== undefined) return;
    timer = setTimeout(leave, Math.max(0, next.due - performance.now()));
  };
  const leave = (): void => {
    timer = undefined;
    const now = performance.now();
    let gone = 0;
    for (const { due, chunk } of waiting) {
      if (due > now || blocked) break;
      gone++;
      bytes -= chunk?.length ?? 0;
      if (chunk === undefined) to.end();
      else blocked = !to.write(chunk);
    }
    waiting.splice(0, gone);
    if (bytes <= MOST_BYTES) from.resume();
    plan();
  };
  from.on('data', arrive).once('end', () => arrive(undefined));
  to.on('drain', () => {
    blocked = false;
    plan();
  });
  to.once('close', () => clearTimeout(timer));
}
