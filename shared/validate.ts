/**
 * Turning zod's findings into one line for a person. Values are never repeated: they may be secret. Names of keys are,
 * shortened and escaped: whoever sent them may be a stranger.
 */
import type * as z from 'zod';
import { VmcError } from './errors.ts';
import { shortened } from './printable.ts';

export function describeIssues(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map((issue) => {
      const where = shortened(issue.path.map(String).join('.'));
      const problem =
        issue.code === 'unrecognized_keys'
          ? `unknown key ${issue.keys
              .slice(0, 5)
              .map((key) => shortened(key))
              .join(', ')}`
          : issue.message;
      return where === '' ? problem : `${where}: ${problem}`;
    })
    .join('; ');
}

/** @throws VmcError 'bad-data' that names `what` and the fields at fault. */
export function parseJson<S extends z.ZodType>(schema: S, text: string, what: string, hint?: string): z.output<S> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new VmcError('bad-data', `${what} is not JSON.`, hint);
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success)
    throw new VmcError('bad-data', `${what} is not as expected: ${describeIssues(parsed.error)}.`, hint);
  return parsed.data;
}
