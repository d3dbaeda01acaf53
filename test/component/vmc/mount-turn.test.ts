/** Two things under one name: the second waits for the first, or is told, and so never finds a folder free that is about to be used. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withMountTurn } from '../../../vmc/drives/mount-turn.ts';

const quiet = new AbortController().signal;

t.test('C7 one at a time under a name', async (t) => {
  const folder = join(t.testdir(), 'locks');
  const turn = <T>(name: string, waitMs: number, work: () => Promise<T>) =>
    withMountTurn(join('/mnt', name), { folder, waitMs, signal: quiet }, work);
  const begun = Promise.withResolvers<void>();
  const checked = Promise.withResolvers<void>();
  const first = turn('data', 0, async () => {
    begun.resolve();
    await checked.promise;
    return 'first';
  });
  await begun.promise;
  const refused = { code: 'busy', message: new RegExp(`/mnt/data.*process ${process.pid}\\b`) };
  await t.rejects(
    turn('data', 0, async () => t.fail('the first is not mounted yet')),
    refused,
  );
  t.equal(await turn('other', 0, async () => 'other'), 'other');
  const stop = new AbortController();
  const stopped = withMountTurn('/mnt/data', { folder, waitMs: 60_000, signal: stop.signal }, async () => t.fail());
  stop.abort(new Error('the caller has gone'));
  await t.rejects(stopped, /the caller has gone/);
  const next = turn('data', 60_000, async () => 'next');
  checked.resolve();
  t.same(await Promise.all([first, next]), ['first', 'next']);
  await t.rejects(
    turn('data', 0, async () => Promise.reject(new Error('no'))),
    /no/,
  );
  t.equal(await turn('data', 0, async () => 'free again'), 'free again');
});

t.test('names without end make no files without end', async (t) => {
  const folder = join(t.testdir(), 'locks');
  const turn = { folder, waitMs: 0, signal: quiet };
  for (let i = 0; i < 300; i++) await withMountTurn(`/mnt/name-${i}`, turn, async () => {});
  t.ok(readdirSync(folder).length <= 256);
});
