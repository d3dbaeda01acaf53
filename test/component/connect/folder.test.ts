import { chmodSync, chownSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PersonFolder } from '../../../connect/folder.ts';

t.test('a folder in which others could replace pins is refused', async (t) => {
  const path = join(t.testdir({ own: {} }), 'own');
  chmodSync(path, 0o700);
  const folder = new PersonFolder(path);
  await t.resolves(folder.prepare());
  chmodSync(path, 0o770);
  await t.rejects(folder.prepare(), { code: 'bad-config', message: /Others may write/ });
  chmodSync(path, 0o755);
  chownSync(path, 12345, 0);
  await t.rejects(folder.prepare(), { code: 'bad-config', message: /another user/ });
});
