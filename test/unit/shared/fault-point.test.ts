/** A fault point ends the process when it is named, once, and otherwise does nothing. */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { faultPoint } from '../../../shared/fault-point.ts';

const MODULE = join(import.meta.dirname, '../../../shared/fault-point.ts');

t.test('not armed, nothing happens', async () => {
  await faultPoint('drive.format');
});

t.test('the process ends as by kill -9 at the point that the file names; the next one goes on', async (t) => {
  const file = join(t.testdir(), 'fault');
  const program = `
    const { armFaultPoints, faultPoint } = await import(${JSON.stringify(MODULE)});
    armFaultPoints(${JSON.stringify(file)});
    await faultPoint('one');
    await faultPoint('two');
    console.log('went on');`;
  const start = () =>
    spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    });
  t.match(start(), { status: 0, stdout: 'went on\n' }, 'no file');
  writeFileSync(file, 'two\n');
  t.match(start(), { status: null, signal: 'SIGKILL', stdout: '' });
  t.notOk(existsSync(file));
  t.match(start(), { status: 0, stdout: 'went on\n' });
});
