/** What a program in the VM is made of: a request in JSON on stdin, {result} or {error} on stdout. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { publicError, VmcError } from '../../../shared/errors.ts';
import { armFaultPoints } from '../../../shared/fault-point.ts';

/** Set by `runApart` alone. */
const FAULT_FILE = 'GUEST_FAULT_FILE';

/** Answers the one request of this process. An error that is none of ours is shown with its stack: this is a test. */
export async function serve(work: (request: never) => Promise<unknown>): Promise<void> {
  armFaultPoints(process.env[FAULT_FILE]);
  const answer = await work((await json(process.stdin)) as never).then(
    (result) => ({ result: result ?? null }),
    (error: unknown) => ({
      error: error instanceof VmcError ? publicError(error) : { code: 'internal', message: (error as Error).stack },
    }),
  );
  process.stdout.write(JSON.stringify(answer));
}

export type Apart = { crashed: true } | { crashed: false; answer: { result: unknown } | { error: unknown } };

/**
 * The same program once more, in a process of its own, with another request.
 * @param faultPoint where it is ended as by kill -9. @returns crashed: false when it never came there.
 */
export async function runApart(request: unknown, faultPoint?: string): Promise<Apart> {
  const folder = mkdtempSync(join(tmpdir(), 'guest-'));
  try {
    const file = join(folder, 'fault');
    if (faultPoint !== undefined) writeFileSync(file, faultPoint);
    const child = spawn(process.execPath, [process.argv[1] ?? ''], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', [FAULT_FILE]: file },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdin.end(JSON.stringify(request));
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    const [, signal] = (await once(child, 'close')) as [number | null, string | null];
    return signal === 'SIGKILL' && text === '' ? { crashed: true } : { crashed: false, answer: JSON.parse(text) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
