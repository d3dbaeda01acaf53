import * as z from 'zod';
import type { HostBox } from './host-box.ts';

const errorSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }),
});

/** What a refused command says with --json: the last line of stderr. Fails the test when it was not refused. */
export async function refusalOf(box: HostBox, args: readonly string[], secret?: string) {
  const result = await box.agent([...args, '--json'], secret);
  if (result.exitCode === 0) throw new Error(`host-agent ${args.join(' ')} was not refused: ${result.stdout}`);
  return errorSchema.parse(JSON.parse(result.stderr.trim().split('\n').at(-1) ?? '')).error;
}
