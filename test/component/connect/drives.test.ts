/** Drives: the key is made here, stored wrapped before it is used, and goes to a VM that the person has named. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BackendClient } from '../../../shared/backend-client/client.ts';
import { unsealIdentity } from '../../../shared/identity/sealed.ts';
import { wrapFor } from '../../../shared/identity/wrap.ts';
import { toBase64 } from '../../../shared/names.ts';
import { routes } from '../../../shared/rest-api/index.ts';
import type { FakeVm } from './fake-vm.ts';
import { PASSPHRASE, type Person, startWorld, type World } from './fake-world.ts';

/** One for all tests of this file; each has drives of its own. */
const started = ready();

async function ready(): Promise<{ world: World; ada: Person; vm: FakeVm }> {
  const world = await startWorld(t);
  const ada = await world.admin('ada');
  await world.addHost(ada);
  await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--wait');
  return { world, ada, vm: world.vms.get('lab') as FakeVm };
}

const create = async (ada: Person, name: string) =>
  (await ada.ok('drive', 'create', name, '--size', '64MiB', '--json')).json<{ driveId: string }>().driveId;

t.test('the life of a drive', async (t) => {
  const { ada, vm } = await started;
  const driveId = await create(ada, 'data');
  t.match((await ada.ok('drive', 'list')).io.output(), new RegExp(`data +${driveId} +64.0 MiB +qcow2 +no +-`));
  t.equal((await ada.run('drive', 'format', 'data')).code, 69, 'not attached');
  t.equal((await ada.run('drive', 'key', 'export', 'data')).code, 69, 'no key yet');
  t.match((await ada.ok('drive', 'attach', 'data', 'lab', '--json')).json(), { attachedTo: /^vm-/, hasKey: false });
  t.equal((await ada.run('drive', 'attach', 'data', 'lab')).code, 75, 'attached already');
  t.equal((await ada.run('drive', 'open', 'data')).code, 69, 'not formatted');

  // The key is stored before the VM starts to format.
  let storedAtFormat: unknown;
  vm.onFormat = async (progress) => {
    progress('luksFormat');
    storedAtFormat = (await ada.ok('drive', 'show', 'data', '--json')).json<{ hasKey: boolean }>().hasKey;
  };
  t.match((await ada.ok('drive', 'format', 'data', '--json')).json(), { driveId, state: 'locked' });
  t.equal(storedAtFormat, true);
  vm.onFormat = async () => {};
  const exported = await ada.ok('drive', 'key', 'export', 'data');
  t.strictSame(new Uint8Array(exported.io.outputBytes()), new Uint8Array(vm.keys.get(driveId) as Uint8Array));

  t.match(
    (await ada.ok('drive', 'open', 'data', '--as', 'results')).io.output(),
    'data  mounted at /mnt/results  (ext4)',
  );
  t.match((await ada.ok('drive', 'close', 'data', '--json')).json(), { state: 'locked' });
  t.match((await ada.ok('drive', 'open', 'data', '--ro', '--json')).json(), {
    mountPoint: '/mnt/data',
    readOnly: true,
  });
  t.match((await ada.ok('drive', 'trim', 'data', '--json')).json(), {
    trimmedBytes: 4096,
    allocatedBefore: 8192,
    allocatedAfter: 8192,
  });
  t.match((await ada.ok('drive', 'usage', driveId, '--json')).json(), {
    allocatedBytes: 8192,
    sizeBytes: 64 * 1024 ** 2,
  });

  const key = vm.keys.get(driveId);
  t.equal((await ada.run('drive', 'format', 'data')).code, 65, 'it holds data');
  t.equal((await ada.run('drive', 'format', 'data', '--overwrite', 'drv0000000000000000')).code, 64);
  await ada.ok('drive', 'format', 'data', '--overwrite', driveId);
  t.strictSame(vm.keys.get(driveId), key, 'the stored key is used again');

  await ada.ok('drive', 'open', 'data');
  const before = vm.calls.length;
  t.match((await ada.ok('drive', 'detach', 'data')).io.output(), /detached/);
  t.strictSame(
    vm.calls.slice(before),
    ['drive.list', 'drive.close', 'drive.waitGone'],
    'closed in the VM before the host takes it',
  );
  t.equal((await ada.run('drive', 'delete', 'data', '--confirm', 'data')).code, 64);
  await ada.ok('drive', 'delete', 'data', '--confirm', driveId);
  t.strictSame((await ada.ok('drive', 'list', '--json')).json(), { drives: [] });
});

t.test('a drive of a VM that is off is detached without it; attached read-only opens read-only', async (t) => {
  const { ada, vm } = await started;
  await create(ada, 'cold');
  await ada.ok('drive', 'attach', 'cold', 'lab');
  await ada.ok('drive', 'format', 'cold');
  await ada.ok('vm', 'shutdown', 'lab');
  const calls = vm.calls.length;
  await ada.ok('drive', 'detach', 'cold');
  t.equal(vm.calls.length, calls);
  await ada.ok('vm', 'start', 'lab', '--wait');
  await ada.ok('drive', 'attach', 'cold', 'lab', '--ro');
  t.match((await ada.ok('drive', 'open', 'cold', '--json')).json(), { readOnly: true });
});

t.test('Ctrl-C while formatting: 130, and the key stays stored', async (t) => {
  const { ada, vm } = await started;
  const driveId = await create(ada, 'halted');
  await ada.ok('drive', 'attach', 'halted', 'lab');
  const { VmcError } = await import('../../../shared/errors.ts');
  const abort = new AbortController();
  vm.onFormat = async () => abort.abort(new VmcError('cancelled', 'Cancelled.'));
  t.equal(await ada.start(abort.signal, 'drive', 'format', 'halted').ended, 130);
  vm.onFormat = async () => {};
  await ada.ok('drive', 'format', 'halted', '--overwrite', driveId);
  await ada.ok('drive', 'open', 'halted');
});

t.test('a key that the backend planted is not used', async (t) => {
  const { world, ada, vm } = await started;
  const driveId = await create(ada, 'planted');
  await ada.ok('drive', 'attach', 'planted', 'lab');
  // What a hostile backend can make by itself: a key it knows, wrapped to the public keys of the person.
  const sealed = readFileSync(join(ada.folder, 'identity.json'), 'utf8');
  const identity = await unsealIdentity(sealed, new TextEncoder().encode(PASSPHRASE));
  const client = new BackendClient({ url: world.url, pin: world.pin });
  await client.signIn(identity);
  const wrappedKey = toBase64(wrapFor(identity.public, new Uint8Array(32), `drive ${driveId}`));
  await client.call(routes.drivePutKey, { params: { driveId }, body: { wrappedKey } });
  client.close();
  const refused = await ada.run('drive', 'format', 'planted');
  t.equal(refused.code, 65);
  t.match(refused.io.errors(), /not stored by you/);
  t.notOk(vm.keys.has(driveId));
});

t.test('a key goes only to a VM that the person has named on this device', async (t) => {
  const { ada, vm } = await started;
  await create(ada, 'astray');
  await ada.ok('drive', 'attach', 'astray', 'lab');
  const calls = vm.calls.length;
  writeFileSync(join(ada.folder, 'known-vms.json'), '{}'); // as if the backend had made up the attachment
  const refused = await ada.run('drive', 'format', 'astray');
  t.equal(refused.code, 77);
  t.match(refused.io.errors(), /never met.*No key was sent/s);
  t.equal(vm.calls.length, calls);
  await ada.ok('vm', 'info', 'lab');
  await ada.ok('drive', 'format', 'astray');
});

t.test('no key in any answer, in the folder, or in the log of the backend', async (t) => {
  const { world, ada, vm } = await started;
  const driveId = await create(ada, 'quiet');
  await ada.ok('drive', 'attach', 'quiet', 'lab');
  const formatted = await ada.ok('drive', 'format', 'quiet', '--json');
  const shown = await ada.ok('drive', 'show', 'quiet', '--json');
  const key = Buffer.from(vm.keys.get(driveId) as Uint8Array);
  const files = ['identity.json', 'backend.json', 'known-vms.json'].map((name) =>
    readFileSync(join(ada.folder, name), 'utf8'),
  );
  const seen = [formatted, shown]
    .map(({ io }) => io.output() + io.errors())
    .concat(world.log, files)
    .join('\n');
  for (const form of [key.toString('base64'), key.toString('hex')]) t.notOk(seen.includes(form));
  t.notMatch(shown.json(), { wrappedKey: {} });
});
