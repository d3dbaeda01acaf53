/** Arguments of the command line, checked as they are read. */
import type * as z from 'zod';
import { VmcError } from '../../shared/errors.ts';
import { driveIdSchema, isoIdSchema, snapshotIdSchema, vmIdSchema } from '../../shared/names.ts';
import { describeIssues } from '../../shared/validate.ts';

export function parsed<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (!result.success) throw new VmcError('bad-request', `${describeIssues(result.error)}.`);
  return result.data;
}

export const parseVmId = (text: string): string => parsed(vmIdSchema, text);
export const parseDriveId = (text: string): string => parsed(driveIdSchema, text);
export const parseIsoId = (text: string): string => parsed(isoIdSchema, text);
export const parseSnapshotId = (text: string): string => parsed(snapshotIdSchema, text);
export const parseFd = (text: string): number => parseCount(text, 1023);

/** A whole number from 0 to `most`. */
export function parseCount(text: string, most: number): number {
  if (!/^\d{1,9}$/.test(text) || Number(text) > most)
    throw new VmcError('bad-request', `${JSON.stringify(text)} is not a number from 0 to ${most}.`);
  return Number(text);
}
