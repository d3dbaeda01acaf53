/**
 * Waiting for libvirt. Between the start of `virsh event` and its subscription an event can be missed, and nothing tells
 * when that moment is over: so each wait ends with a look at the real state, and lasts a few seconds at most.
 */
import type { Virsh } from './virsh.ts';

export const SLICE_SECONDS = 4;

/** Starts to listen; the promise resolves at the event, or when `seconds` have passed. It never says which. */
export async function nextEvent(
  virsh: Virsh,
  event: 'lifecycle' | 'device-removed' | 'job-completed',
  domain: string | undefined,
  seconds: number,
  signal?: AbortSignal,
): Promise<void> {
  await virsh.attempt(
    [
      'event',
      ...(domain === undefined ? [] : ['--domain', domain]),
      '--event',
      event,
      '--timeout',
      String(Math.max(1, Math.ceil(seconds))),
    ],
    { timeoutMs: (seconds + 10) * 1000, ...(signal === undefined ? {} : { signal }) },
  );
}

export interface Waiting {
  /** True when it is over. Asked before the first request and after each wait. */
  done(): Promise<boolean>;
  /** Asks for what is waited for; repeated every `repeatSeconds`. Its failures end the wait. */
  request(): Promise<void>;
  listen(seconds: number): Promise<void>;
  now(): number;
  /** Milliseconds. */
  deadlineMs: number;
  repeatMs: number;
}

/** @returns false when the deadline passed first. */
export async function waitFor(waiting: Waiting): Promise<boolean> {
  const start = waiting.now();
  let requestedAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    if (await waiting.done()) return true;
    const left = waiting.deadlineMs - (waiting.now() - start);
    if (left <= 0) return false;
    const listening = waiting.listen(Math.min(SLICE_SECONDS, left / 1000));
    listening.catch(() => {}); // it is awaited below, unless the request fails first
    if (waiting.now() - requestedAt >= waiting.repeatMs) {
      requestedAt = waiting.now();
      await waiting.request();
    }
    await listening;
  }
}
