import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { fingerprint, openSshPublicKey } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import { run } from '../../../shared/run.ts';

t.test('ssh-keygen prints the same fingerprint', async (t) => {
  const { ed25519 } = generateIdentity().public;
  const path = join(t.testdir(), 'key.pub');
  await writeFile(path, `${openSshPublicKey(ed25519, 'alice@example')}\n`);
  const { stdout } = await run({ file: 'ssh-keygen', args: ['-lf', path], timeoutMs: 10_000 });
  t.equal(stdout, `256 ${fingerprint(ed25519)} alice@example (ED25519)\n`);
});
