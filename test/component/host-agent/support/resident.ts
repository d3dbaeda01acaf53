/** The CLI without starting a process for each command: `resident.ts` stays in the namespace and is told what to run. */
import { randomBytes } from 'node:crypto';
import { openSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { hostAgentProgram } from '../../../../host-agent/cli/program.ts';
import { runProgram } from '../../../../shared/cli/program.ts';

export interface Task {
  args: string[];
  /** What descriptor `FD` in `args` is to give. */
  secret?: string | undefined;
}

class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk;
    done();
  }
}

async function perform({ args, secret }: Task) {
  const io = { stdout: new Sink(), stderr: new Sink() };
  const argv = secret === undefined ? args : args.map((it) => (it === 'FD' ? String(descriptorOf(secret)) : it));
  const exitCode = await runProgram(
    hostAgentProgram(io, () => new AbortController().signal),
    argv,
    io,
  );
  return { exitCode, stdout: io.stdout.text, stderr: io.stderr.text };
}

function descriptorOf(secret: string): number {
  const path = join(tmpdir(), `vmc-test-${randomBytes(8).toString('hex')}`);
  writeFileSync(path, secret, { mode: 0o600 });
  const fd = openSync(path, 'r');
  unlinkSync(path);
  return fd;
}

// Ended in order, it leaves what Node compiled to those who start next.
process.once('SIGTERM', () => process.exit(0));
// Tasks come one at a time: whoever sends them waits for each answer.
process.on('message', (task) => {
  perform(task as Task).then((result) => process.send?.(result));
});
