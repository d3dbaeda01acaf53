import { Writable } from 'node:stream';
import t from 'tap';
import { progressLine, showProgress } from '../../../host-agent/cli/progress.ts';

const GIB = 1024 ** 3;

t.test('how far long work is, how fast, and how long it will take', async (t) => {
  t.equal(
    progressLine({ step: 'copy', done: 4 * GIB, total: 10 * GIB, unit: 'bytes' }, 8),
    'copy: 40 % of 10.0 GiB, 512.0 MiB/s, 12 s left',
  );
  t.equal(progressLine({ step: 'copy', done: 0, total: GIB }, 0), 'copy: 0 % of 1.0 GiB');
  t.equal(progressLine({ step: 'check' }, 3), 'check');
});

t.test('where nobody watches, each step is said once', async (t) => {
  let text = '';
  const stderr = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const show = showProgress({ stdout: stderr, stderr }, () => 0);
  for (const done of [0, 1, 2]) show({ step: 'copy', done, total: 2 });
  show({ step: 'compare', done: 0, total: 2 });
  t.equal(text, 'copy\ncompare\n');
});
