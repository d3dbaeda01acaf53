/** One line a step, with the time it took. */
import type { Writable } from 'node:stream';

export interface StepTime {
  name: string;
  seconds: number;
}

export class Steps {
  readonly times: StepTime[] = [];
  readonly #out: Writable;
  readonly #signal: AbortSignal;

  constructor(out: Writable, signal: AbortSignal) {
    this.#out = out;
    this.#signal = signal;
  }

  async run<T>(name: string, work: () => Promise<T>, remark?: (result: T) => string): Promise<T> {
    this.#signal.throwIfAborted();
    const started = performance.now();
    const seconds = () => (performance.now() - started) / 1000;
    const line = (mark: string, text: string) =>
      this.#out.write(`${mark} ${seconds().toFixed(1).padStart(6)} s  ${name}${text === '' ? '' : `: ${text}`}\n`);
    try {
      const result = await work();
      this.times.push({ name, seconds: Math.round(seconds() * 100) / 100 });
      line('✓', remark?.(result) ?? '');
      return result;
    } catch (error) {
      line('✗', this.#signal.aborted ? 'cancelled' : 'failed');
      throw error;
    }
  }

  note(text: string): void {
    this.#out.write(`           ${text}\n`);
  }
}
