/** B4, C2, C3: VMs and the channel, with the real backend and fake VMs. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { fingerprint } from '../../../shared/identity/fingerprint.ts';
import { generateIdentity } from '../../../shared/identity/identity.ts';
import type { FakeVm } from './fake-vm.ts';
import { startWorld } from './fake-world.ts';

/** One for all tests of this file; each has a VM of its own. */
const world = await startWorld(t);
const ada = await world.admin('ada');

t.test('from nothing to a ping through the encrypted path', async (t) => {
  t.equal((await ada.run('vm', 'create', 'lab', '--image', 'debian12')).code, 68, 'no host is connected');
  await world.addHost(ada);
  t.match((await ada.ok('host', 'list')).io.output(), /rack1 +host-\w+ +active +127\.0\.0\.1 +2 +8\.0 GiB +ok/);
  const made = (
    await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--memory', '1GiB', '--wait', '--json')
  ).json();
  t.match(made, { name: 'lab', ready: true, memoryMiB: 1024, state: 'running', fingerprint: /^SHA256:/ });
  t.notMatch(made, { identity: {} });

  const first = await ada.ok('vm', 'info', 'lab', '--json');
  const vm = world.vms.get('lab') as FakeVm;
  const print = fingerprint(vm.identity.public.ed25519);
  t.match(first.json(), { fingerprint: print, name: 'lab' });
  t.match(first.io.errors(), `First contact with the VM lab: ${print}`);
  t.notMatch((await ada.ok('vm', 'info', 'lab')).io.errors(), /First contact/);
  t.match((await ada.ok('vm', 'show', 'lab')).io.output(), /this device +pinned/);
  const known = JSON.parse(readFileSync(join(ada.folder, 'known-vms.json'), 'utf8'));
  t.match(Object.values(known), [{ name: 'lab', fingerprint: print }]);

  const pinged = (await ada.ok('vm', 'ping', 'lab', '-c', '3', '--payload-fd', '5', '--json')).json();
  t.match(pinged, { vm: 'lab', count: 3, medianMs: Number });
  t.match((await ada.ok('vm', 'ping', 'lab')).io.output(), /32 characters from lab: .*\nmin /s);
  t.match((await ada.ok('vm', 'list')).io.output(), /lab +vm-\w+ +running +yes/);

  t.equal((await ada.run('vm', 'info', 'lap')).code, 66);
  t.equal((await ada.run('vm', 'delete', 'lab', '--confirm', 'lap')).code, 64);
  t.match((await ada.ok('vm', 'shutdown', 'lab', '--force')).io.output(), /off/);
  await vm.close();
  const gone = await ada.run('vm', 'info', 'lab');
  t.equal(gone.code, 68);
  t.match(gone.io.errors(), /not connected to the relay/);
  const waiting = await ada.run('vm', 'start', 'lab', '--wait', '--timeout', '1');
  t.equal(waiting.code, 75);
  t.match(waiting.io.errors(), /not ready within 1 s/);
});

t.test('H9: a VM that a full pool has stopped: shown as that, in the list and by itself', async (t) => {
  await ada.ok('vm', 'create', 'starved', '--image', 'debian12', '--wait');
  const { vmId } = (await ada.ok('vm', 'show', 'starved', '--json')).json<{ vmId: string }>();
  await world.host.pause(vmId, 'no-space');
  const paused = /paused: pool full/;
  while (!paused.test((await ada.ok('vm', 'show', 'starved')).io.output())) await new Promise(setImmediate);
  t.match((await ada.ok('vm', 'show', 'starved')).io.output(), /problem +It is paused: .*goes on by itself/);
  t.match((await ada.ok('vm', 'list')).io.output(), new RegExp(`${vmId} +paused: pool full`));
  t.match((await ada.ok('vm', 'show', 'starved', '--json')).json(), { state: 'paused', pausedBecause: 'no-space' });
});

t.test('C2 a VM with another key: loud, nothing sent, until the person accepts it', async (t) => {
  await ada.ok('vm', 'create', 'changed', '--image', 'debian12', '--wait');
  await ada.ok('vm', 'info', 'changed');
  const path = join(ada.folder, 'known-vms.json');
  const vm = world.vms.get('changed') as FakeVm;
  const real = fingerprint(vm.identity.public.ed25519);

  const other = generateIdentity().public.ed25519;
  const known = JSON.parse(readFileSync(path, 'utf8'));
  const vmId = Object.keys(known).find((id) => known[id].name === 'changed');
  const { writeFileSync } = await import('node:fs');
  writeFileSync(
    path,
    JSON.stringify({ [String(vmId)]: { name: 'changed', ed25519: other.toBase64(), fingerprint: fingerprint(other) } }),
  );
  const calls = vm.calls.length;
  const refused = await ada.run('vm', 'info', 'changed');
  t.equal(refused.code, 76);
  t.match(refused.io.errors(), /IDENTITY OF THE VM changed .* HAS CHANGED/);
  t.match(refused.io.errors(), `connect vm trust ${vmId} --accept ${real}`);
  t.equal(vm.calls.length, calls);
  t.match((await ada.ok('vm', 'show', 'changed')).io.output(), /this device +CHANGED/);

  t.equal((await ada.run('vm', 'trust', 'changed', '--accept', fingerprint(other))).code, 76, 'not what is presented');
  await ada.ok('vm', 'trust', 'changed', '--accept', real);
  await ada.ok('vm', 'info', 'changed');

  writeFileSync(path, 'damaged');
  t.equal((await ada.run('vm', 'info', 'changed')).code, 65, 'a damaged file is not an empty one');
  writeFileSync(path, JSON.stringify(known));
});

t.test('C3 a second person sees nothing of it; a VM that does not know its caller says nothing', async (t) => {
  await ada.ok('vm', 'create', 'private', '--image', 'debian12', '--wait');
  const bob = await world.person();
  const code = (await ada.ok('user', 'invite')).io.output().trim();
  await bob.ok('claim', '--backend', world.url, '--pin', world.pin, '--name', 'bob', '--code', code);
  t.equal((await bob.run('vm', 'info', 'private')).code, 66);
  t.equal((await bob.run('tunnel', 'private', '80')).code, 66);
  t.strictSame((await bob.ok('vm', 'list', '--json')).json(), { vms: [] });

  const vm = world.vms.get('private') as FakeVm;
  vm.knowsNobody = true;
  const closed = await ada.run('vm', 'info', 'private');
  t.equal(closed.code, 76);
  t.match(closed.io.errors(), /closed the connection during the handshake/);
  t.match(closed.io.errors(), /clocks differ/);
});
