import t from 'tap';
import { ensureDebianPackages, installedFrom } from '../../../lab/setup.ts';

t.test('dpkg states: installed and held count, removed and half-configured do not', async (t) => {
  t.strictSame([...installedFrom('a ii \nb hi \nc rc \nd iU \ne un \n\n')], ['a', 'b']);
});

t.test('nothing is installed when all is there; names that are no names are refused', async (t) => {
  t.strictSame(await ensureDebianPackages(['dpkg', 'apt']), []);
  await t.rejects(ensureDebianPackages(['-o=x']));
});
