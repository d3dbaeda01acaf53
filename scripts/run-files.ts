/** Runs test files, each in a process of its own, several at a time; those that take long begin first. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Counts, summarise } from './tap-summary.ts';

export interface RunOptions {
  /** How many at a time. */
  jobs: number;
  /** For the tests of a file that do not say otherwise. */
  timeoutSeconds: number;
  /** What is still there then hangs, and is ended. */
  limitSeconds: number;
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
  show(line: string): void;
}

/** Shows each file's result as it ends. @returns the counts of all. */
export async function runFiles(files: readonly string[], options: RunOptions): Promise<Counts> {
  const sum: Counts = { passed: 0, failed: 0, notRun: 0 };
  const waiting = [...files];
  const work = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      if (options.signal.aborted) return;
      const { shown, counts } = await runFile(file, options);
      for (const line of shown) options.show(line);
      for (const key of ['passed', 'failed', 'notRun'] as const) sum[key] += counts[key];
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, work));
  return sum;
}

async function runFile(file: string, options: RunOptions): Promise<ReturnType<typeof summarise>> {
  const began = performance.now();
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...options.env, TAP: '1', TAP_TIMEOUT: String(options.timeoutSeconds) },
    timeout: options.limitSeconds * 1000,
    killSignal: 'SIGKILL',
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  const stop = () => child.kill('SIGTERM');
  options.signal.addEventListener('abort', stop);
  const closed = once(child, 'close');
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  // What the file left running may hold its output open for ever.
  const patience = setTimeout(() => child.stdout.destroy(), 5000);
  await closed;
  clearTimeout(patience);
  options.signal.removeEventListener('abort', stop);
  return summarise(file, output, { code: code ?? signal ?? 1, ms: performance.now() - began });
}

/** The files of `first`, in that order, then the others. @throws Error when one of `first` is not there. */
export function inOrder(files: readonly string[], first: readonly string[]): string[] {
  const missing = first.filter((file) => !files.includes(file));
  if (missing.length > 0) throw new Error(`no such test: ${missing.join(', ')}`);
  return [...first, ...files.filter((file) => !first.includes(file)).sort()];
}
