/** Waiting between attempts to connect. */
import { onDisturbance } from './disturbance.ts';

/** Rejects with the signal's reason when it is aborted, whatever becomes of `promise`. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {});
  const abort = () => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Ends early when the machine woke up or its addresses changed: what failed before may work now. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, ms);
  const stopListening = onDisturbance(() => over.resolve());
  try {
    await abortable(over.promise, signal);
  } finally {
    clearTimeout(timer);
    stopListening();
  }
}
