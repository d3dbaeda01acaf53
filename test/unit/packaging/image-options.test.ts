import t from 'tap';
import { buildImage } from '../../../packaging/image.ts';

const good = { outDir: '/nowhere', name: 'vm', debs: [], cacheDir: '/nowhere' };

for (const [what, options] of Object.entries({
  'a name with a slash': { name: '../vm' },
  'a relative file': { extraFiles: [{ path: 'etc/x', data: '', mode: 0o644 }] },
  'a file that climbs out': { extraFiles: [{ path: '/etc/../../x', data: '', mode: 0o644 }] },
  'a mode out of range': { extraFiles: [{ path: '/etc/x', data: '', mode: 0o17777 }] },
  'a unit that is an option': { enableUnits: ['--root=/'] },
  'a unit to switch off that is an option': { disableUnits: ['--root=/'] },
  'no disk': { diskGiB: 0 },
})) {
  t.test(`an image with ${what} is refused before anything is built`, async (t) => {
    await t.rejects(buildImage({ ...good, ...options }), { code: 'bad-request' });
  });
}
