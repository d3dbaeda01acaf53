/** Option and argument values, checked before anything is done. @throws VmcError 'bad-request' (all of them). */
import type * as z from 'zod';
import { parseBytes } from '../shared/cli/program.ts';
import { VmcError } from '../shared/errors.ts';
import { describeIssues } from '../shared/validate.ts';

/** A parser for commander: a whole number of `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new VmcError('bad-request', `${JSON.stringify(text)} is not a whole number of ${min} to ${max}.`);
  };
}

export const descriptor = wholeNumber(0, 1023);

const MIB = 1024 ** 2;

/** '2GiB' → bytes, a multiple of 1 MiB. */
export function sizeInMiB(text: string): number {
  const bytes = parseBytes(text);
  if (bytes < MIB || bytes % MIB !== 0 || !Number.isSafeInteger(bytes))
    throw new VmcError('bad-request', `${text} is not a whole number of MiB.`, 'Write for example 512MiB or 2GiB.');
  return bytes;
}

export const toMiB = (bytes: number): number => bytes / MIB;

/** `value` when `schema` takes it. @param what for the message, e.g. 'the name'. */
export function checked<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new VmcError('bad-request', `${what}: ${describeIssues(parsed.error)}.`);
  return parsed.data;
}

/** What cannot be undone is typed twice. */
export function requireConfirm(given: string, wanted: string, what: string): void {
  if (given !== wanted)
    throw new VmcError(
      'bad-request',
      `--confirm says ${JSON.stringify(given)}, but ${what} is ${wanted}.`,
      `Nothing was changed. To go on: --confirm ${wanted}`,
    );
}
