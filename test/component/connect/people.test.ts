/** C3, C9: people and profiles of a VM from connect, with the real backend, rights, channels; only drives are fake. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import type { FakeVm } from './fake-vm.ts';
import { type Person, startWorld } from './fake-world.ts';

const world = await startWorld(t);
const ada = await world.admin('ada');
await world.addHost(ada);
await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--wait');
await ada.ok('vm', 'info', 'lab');
const vm = world.vms.get('lab') as FakeVm;

async function account(name: string): Promise<Person & { print: string }> {
  const one = await world.person();
  const code = (await ada.ok('user', 'invite')).io.output().trim();
  await one.ok('claim', '--backend', world.url, '--pin', world.pin, '--name', name, '--code', code);
  return { ...one, print: (await one.ok('fingerprint')).io.output().trim() };
}
const bob = await account('bob');
const cay = await account('cay');

t.test('C3 the key of a new person is confirmed, pinned, and never replaced by the backend', async (t) => {
  const add = ['vm', 'people', 'add', 'lab', 'bob', '--rights', 'files,ports'];
  const calls = vm.calls.length;
  const unconfirmed = await ada.run(...add);
  t.equal(unconfirmed.code, 64);
  t.match(unconfirmed.io.errors(), `The backend says that their key is ${bob.print}`);
  t.match(unconfirmed.io.errors(), /was not confirmed. Nothing was changed/);
  t.equal((await ada.run(...add, '--fingerprint', cay.print)).code, 76, 'another key than the one that was read out');
  t.notOk(vm.calls.slice(calls).includes('people.add'));

  t.match((await ada.ok(...add, '--fingerprint', bob.print, '--json')).json(), { name: 'bob', version: 1 });
  t.match((await ada.ok(...add)).io.output(), `bob  ${bob.print}  user of lab`, 'repeating it does no harm');
  const path = join(ada.folder, 'known-people.json');
  t.match(JSON.parse(readFileSync(path, 'utf8')), { bob: { fingerprint: bob.print } });

  const stored = readFileSync(path, 'utf8');
  const other = generateIdentity().public.ed25519;
  writeFileSync(path, JSON.stringify({ bob: { ed25519: other.toBase64(), fingerprint: 'SHA256:other' } }));
  for (const more of [[], ['--yes']]) {
    const changed = await ada.run(...add, ...more);
    t.equal(changed.code, 76);
    t.match(changed.io.errors(), /THE KEY OF bob HAS CHANGED/);
  }
  await ada.ok(...add, '--fingerprint', bob.print);
  t.match(JSON.parse(readFileSync(path, 'utf8')), { bob: { fingerprint: bob.print } });
  writeFileSync(path, 'damaged');
  t.equal((await ada.run(...add)).code, 65, 'a damaged file is not an empty one');
  writeFileSync(path, stored);
});

t.test('C3 C9 who was added sees the VM, comes in, and may do what they may', async (t) => {
  t.match((await bob.ok('vm', 'list')).io.output(), /lab/);
  await bob.ok('vm', 'ping', 'lab', '-c', '1');
  t.match((await bob.ok('vm', 'people', 'me', 'lab', '--json')).json(), { role: 'user', rights: ['files', 'ports'] });
  for (const words of [
    ['vm', 'people', 'list', 'lab'],
    ['vm', 'people', 'add', 'lab', 'cay', '--yes'],
    ['vm', 'profile', 'set', 'lab', 'all', '--rights', 'files'],
  ]) {
    const refused = await bob.run(...words);
    t.equal(refused.code, 77, words.join(' '));
    t.match(refused.io.errors(), /needs the right "users"/);
  }
  t.equal((await bob.run('vm', 'shutdown', 'lab')).code, 66, 'power stays with the owner');
  const listed = await ada.ok('vm', 'people', 'list', 'lab');
  t.match(listed.io.output(), /owner +owner +- +all +SHA256:/);
  t.match(listed.io.output(), new RegExp(`bob +user +custom +files,ports +${bob.print.replaceAll('+', '\\+')}`));
});

t.test("C2 somebody else's VM is not taken for one's own of the same name, and both can be known", async (t) => {
  const path = join(bob.folder, 'known-vms.json');
  const { vms } = (await bob.ok('vm', 'list', '--json')).json<{ vms: { vmId: string; ownerId: string }[] }>();
  const [shared] = vms as [{ vmId: string; ownerId: string }];
  t.match(JSON.parse(readFileSync(path, 'utf8')), { [shared.vmId]: { name: `lab@${shared.ownerId}` } });
  const own = { 'vm-ffffffffffff': { name: 'lab' } };
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...own }));
  const calls = vm.calls.length;
  const mistaken = await bob.run('vm', 'ping', 'lab');
  t.equal(mistaken.code, 76);
  t.match(mistaken.io.errors(), /THE NAME lab MEANT ANOTHER VM SO FAR/);
  t.equal(vm.calls.length, calls);
  await bob.ok('vm', 'ping', shared.vmId, '-c', '1');
  const { 'vm-ffffffffffff': _, ...known } = JSON.parse(readFileSync(path, 'utf8'));
  t.match(_, own['vm-ffffffffffff'], 'it is still known');
  writeFileSync(path, JSON.stringify(known));
});

t.test('C9 profiles; a co-owner and a manager have their bounds', async (t) => {
  await ada.ok('vm', 'profile', 'set', 'lab', 'students', '--rights', 'files,upload');
  await ada.ok('vm', 'people', 'change', 'lab', 'bob', '--profile', 'students');
  t.match((await bob.ok('vm', 'people', 'me', 'lab', '--json')).json(), {
    profile: 'students',
    rights: ['files', 'upload'],
  });
  t.match((await ada.ok('vm', 'profile', 'list', 'lab')).io.output(), /students +files,upload +bob/);
  const inUse = await ada.run('vm', 'profile', 'remove', 'lab', 'students');
  t.equal(inUse.code, 69);
  t.match(inUse.io.errors(), /is in use: bob has it/);

  await ada.ok('vm', 'people', 'change', 'lab', 'bob', '--role', 'manager');
  t.equal((await ada.run('vm', 'people', 'change', 'lab', 'bob')).code, 64, 'what to change?');
  await bob.ok('vm', 'people', 'add', 'lab', 'cay', '--profile', 'students', '--yes');
  await cay.ok('vm', 'ping', 'lab', '-c', '1');
  for (const words of [
    ['vm', 'people', 'change', 'lab', 'cay', '--role', 'manager'],
    ['vm', 'people', 'change', 'lab', 'bob', '--role', 'co-owner'],
    ['vm', 'people', 'remove', 'lab', 'owner'],
  ])
    t.equal((await bob.run(...words)).code, 77, words.join(' '));
  await ada.ok('vm', 'people', 'change', 'lab', 'cay', '--role', 'co-owner');
  await cay.ok('vm', 'people', 'change', 'lab', 'bob', '--role', 'user', '--rights', '');
  t.match((await bob.ok('vm', 'people', 'me', 'lab', '--json')).json(), { role: 'user', rights: [] });
  t.equal((await cay.run('vm', 'people', 'reset', 'lab', '--confirm', vm.bootstrap.vm.id)).code, 77, 'the owner only');
  t.equal((await ada.run('vm', 'people', 'reset', 'lab', '--confirm', vm.bootstrap.vm.id)).code, 69, 'all is in order');
});

t.test('C3 who is removed is out, at the VM and at the backend; both steps can be repeated', async (t) => {
  await ada.ok('vm', 'people', 'remove', 'lab', 'bob');
  t.equal((await bob.run('vm', 'ping', 'lab')).code, 66);
  await ada.ok('vm', 'people', 'remove', 'lab', 'bob');
  t.equal((await ada.run('vm', 'people', 'remove', 'lab', 'nobody')).code, 66);

  // The VM alone has shut them out: the backend still leads them there, and they see a closed door.
  await ada.ok('vm', 'people', 'add', 'lab', 'bob');
  vm.knowsNobody = true;
  const closed = await bob.run('vm', 'ping', 'lab');
  vm.knowsNobody = false;
  t.equal(closed.code, 76);
  t.match(closed.io.errors(), /It may not know you \(its owner, or a co-owner or manager, lets people in/);

  await bob.ok('vm', 'people', 'leave', 'lab');
  t.same((await bob.ok('vm', 'list', '--json')).json(), { vms: [] });
  const left = (await ada.ok('vm', 'people', 'list', 'lab', '--json')).json<{ people: { name: string }[] }>();
  t.same(
    left.people.map(({ name }) => name),
    ['owner', 'cay'],
  );
});

t.test('C3 a roll-back of the people shows on a device that has seen a higher version', async (t) => {
  const quiet = await ada.ok('vm', 'info', 'lab', '--json');
  t.notMatch(quiet.io.errors(), /ROLLED BACK/);
  const { peopleVersion } = quiet.json<{ peopleVersion: number }>();
  vm.peopleVersion = peopleVersion - 1;
  const loud = await ada.ok('vm', 'info', 'lab');
  vm.peopleVersion = undefined;
  t.match(
    loud.io.errors(),
    `THE PEOPLE OF THE VM lab WERE ROLLED BACK: this device has seen version ${peopleVersion}, now it is ${peopleVersion - 1}`,
  );
});
