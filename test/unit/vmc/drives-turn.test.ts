/** C16: a call that waits for its drive, and whose caller has lost the right meanwhile, is not begun when its turn comes. */
import t from 'tap';
import { VmcError } from '../../../shared/errors.ts';
import { Drives } from '../../../vmc/drives/drives.ts';

t.test('open, close, format and trim that were stopped while they waited do nothing', async (t) => {
  const drives = new Drives({
    mountRoot: t.testdir(),
    stateDir: t.testdir(),
    clock: Date.now,
    deviceTimeoutMs: 1,
    peopleGid: async () => 0,
    onUndoFailed: (what) => t.fail(what),
  });
  const driveId = 'drv0123456789abcdef';
  const stop = new AbortController();
  const { signal } = stop;
  const context = { signal, progress: () => {} };
  const keys = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const;
  const first = drives.close(driveId, { signal: new AbortController().signal }); // has the drive
  const waiting = [
    drives.open({ driveId, key: keys[0], name: 'data', readOnly: false }, context),
    drives.close(driveId, { signal }),
    drives.trim(driveId, context),
    drives.format({ driveId, key: keys[1], fileSystem: 'ext4' }, context),
  ].map((call) =>
    call.then(
      () => 'done',
      (error: VmcError) => error.code,
    ),
  );
  stop.abort(new VmcError('forbidden', 'Your rights have changed.'));
  t.match(await first, { state: 'absent' });
  t.same(await Promise.all(waiting), ['forbidden', 'forbidden', 'forbidden', 'forbidden']);
  for (const key of keys) t.same(key, new Uint8Array(32), 'no key is left behind');
});
