/**
 * Programs of this repository that run inside the VM as root, on what only a VM has: device-mapper, mounts, systemd. A
 * program is a file of test/system/guest that calls `serve` (guest/serve.ts).
 */
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import type { VmProgram } from '../../../demo/vm-program-client.ts';
import { BUNDLE_OPTIONS } from '../../../packaging/bundle.ts';
import { errorFromFields } from '../../../shared/errors.ts';

const ROOT = join(import.meta.dirname, '../../..');
const FOLDER = '/run/vmc-guest';
const NODE = '/usr/lib/vmc/node';

export interface GuestProgram {
  /** What runs it in the VM, for a test that starts it in its own way. The request comes on stdin. */
  argv: [string, ...string[]];
  /** Runs it once. @throws VmcError as it was thrown there; Error with its stderr when it ended without an answer. */
  run<T>(request: unknown, options?: { timeoutMs?: number }): Promise<T>;
}

/** Puts a program into the VM. @param file e.g. 'drive-care.ts', in test/system/guest. */
export async function guestProgram(vm: VmProgram, file: string): Promise<GuestProgram> {
  const { outputFiles } = await build({
    ...BUNDLE_OPTIONS,
    entryPoints: [join(ROOT, 'test/system/guest', file)],
    absWorkingDir: ROOT,
    write: false,
  });
  const code = outputFiles[0]?.contents ?? new Uint8Array();
  const hash = createHash('sha256').update(code).digest('hex').slice(0, 8);
  const path = `${FOLDER}/${basename(file, '.ts')}-${hash}.mjs`;
  await vm.exec(['mkdir', '--parents', '--mode', '700', FOLDER]);
  await vm.request('PUT', `/file?path=${path}`, code);
  const argv: [string, ...string[]] = [NODE, path];
  return {
    argv,
    async run<T>(request: unknown, { timeoutMs = 120_000 } = {}) {
      const stdin = Buffer.from(JSON.stringify(request ?? null));
      const { code, signal, stdout, stderr } = await vm.tryExec(argv, { stdin, timeoutMs });
      if (stdout === '') throw new Error(`${file} in the VM ended with ${code ?? signal}: ${stderr.slice(-2000)}`);
      const answer = JSON.parse(stdout) as { result: T } | { error: unknown };
      if ('error' in answer) throw errorFromFields(answer.error);
      return answer.result;
    },
  };
}
