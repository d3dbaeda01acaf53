/** Runs a test file in a network namespace of its own, which vanishes with the process. Needs root. */
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from '../../../shared/run.ts';

const MARK = 'VMC_TEST_NAMESPACE';

/** In the first process: runs `url` again inside. In the second: sets lo up and runs the tests. */
export async function inNamespace(url: string, tests: () => void | Promise<void>): Promise<void> {
  if (process.env[MARK] === undefined) {
    const args = ['--net', process.execPath, fileURLToPath(url)];
    await t.spawn('unshare', args, { env: { ...process.env, [MARK]: '1', TAP: '1' } }, 'in a namespace');
    return;
  }
  await run({ file: 'ip', args: ['link', 'set', 'lo', 'up'], timeoutMs: 10_000 });
  await tests();
}
