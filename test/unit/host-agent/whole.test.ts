import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

const WHOLE = join(import.meta.dirname, '../../../host-agent/snapshots/whole.ts');

t.test('what does not fit is never taken for written', async (t) => {
  const path = join(t.testdir(), 'file');
  // In a process of its own, whose files may have 8 KiB: of the second buffer half fits, and write(2) says no error.
  const program = `
    import { execFileSync } from 'node:child_process';
    import { open } from 'node:fs/promises';
    import { writeFully } from ${JSON.stringify(WHOLE)};
    const file = await open(${JSON.stringify(path)}, 'wx');
    await writeFully(file, Buffer.alloc(4096), 0);
    process.on('SIGXFSZ', () => {}); // or it would be the end
    const limit = (bytes) => execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':']);
    limit(8192);
    const said = await writeFully(file, Buffer.alloc(8192), 4096).then(() => 'written', ({ code }) => code);
    limit('unlimited'); // the test runner may write more at the end
    console.log(said, (await file.stat()).size);
  `;
  const env = { ...process.env, NODE_OPTIONS: '' };
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    env,
    encoding: 'utf8',
  });
  t.equal(stdout, 'EFBIG 8192\n', stderr);
});
