/** The worker's end of worker.ts. */
import { createInterface } from 'node:readline';
import * as z from 'zod';

const requestSchema = z.strictObject({ id: z.int(), operation: z.string(), input: z.unknown() });

export type Operations = Readonly<Record<string, (input: unknown) => unknown>>;

/** Answers until stdin ends; then the process ends, whatever else it holds. */
export function serveWorker(operations: Operations): void {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => void answer(operations, line));
  lines.on('close', () => process.exit(0));
}

async function answer(operations: Operations, line: string): Promise<void> {
  const { id, operation, input } = requestSchema.parse(JSON.parse(line));
  try {
    const work = operations[operation];
    if (work === undefined) throw new Error(`there is no operation ${operation}`);
    const result = (await work(input)) ?? null;
    process.stdout.write(`${JSON.stringify({ id, result })}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
    const said = error instanceof Error ? error.message : String(error);
    process.stdout.write(`${JSON.stringify({ id, error: said })}\n`);
  }
}

/** CPU seconds of this process so far, all threads: user and system together, which the kernel counts exactly. */
export function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
