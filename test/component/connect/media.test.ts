/** ISO images and NFS: by name, in order, and where they are mounted. */
import t from 'tap';
import { startWorld } from './fake-world.ts';

const TOOLS = 'iso00000000000000a1';

t.test('ISO images and NFS exports in a VM', async (t) => {
  const world = await startWorld(t);
  const ada = await world.admin('ada');
  await world.addHost(ada);
  await ada.ok('vm', 'create', 'lab', '--image', 'debian12', '--wait');
  const vm = world.vms.get('lab');
  const text = async (...argv: string[]) => (await ada.ok(...argv)).io.output();

  await t.test('an image goes in, is mounted, and comes out after it was unmounted', async (t) => {
    t.match(await text('vm', 'iso', 'list', 'lab'), new RegExp(`tools +${TOOLS} +1.0 MiB +-\n`));
    t.match((await ada.ok('vm', 'iso', 'attach', 'lab', 'tools', '--as', 'stuff', '--json')).json(), {
      isoId: TOOLS,
      name: 'tools',
      attached: true,
      mountPoint: '/mnt/stuff',
      readOnly: true,
    });
    t.match(await text('vm', 'iso', 'list', 'lab'), new RegExp(`tools +${TOOLS} +1.0 MiB +/mnt/stuff\n`));
    const calls = vm?.calls ?? [];
    calls.length = 0;
    t.match(await text('vm', 'iso', 'eject', 'lab', 'tools'), 'tools  ejected');
    t.ok(calls.includes('iso.unmount'), 'the fake host refuses to eject what is mounted');
    t.equal(vm?.isos.size, 0);
    t.equal(await text('vm', 'iso', 'attach', 'lab', TOOLS), 'tools  attached\n', 'by its id');
    t.equal(await text('vm', 'iso', 'mount', 'lab', 'tools', 'again'), 'tools  mounted at /mnt/again, read-only\n');
    t.equal(await text('vm', 'iso', 'unmount', 'lab', TOOLS), `${TOOLS}  unmounted\n`);
  });

  await t.test('what is not there, or cannot be a name, is said before anything is done', async (t) => {
    const wrong = async (...argv: string[]) => {
      const { code, io } = await ada.run('vm', 'iso', ...argv);
      return `${code} ${io.errors()}`;
    };
    t.match(await wrong('attach', 'lab', 'nothing'), /^66 .*ISO image "nothing"[\s\S]*tools, debian-12.5/);
    t.match(await wrong('attach', 'lab', 'debian-12.5', '--as', '../etc'), /^64 /);
    t.notOk(vm?.isos.has('iso00000000000000b2'));
  });

  await t.test(
    'an image that has gone from the pool is still ejected by its id; from a VM that is off without asking it',
    async (t) => {
      const gone = 'iso00000000000000ff';
      vm?.isos.set(gone, { isoId: gone, state: 'mounted', sizeBytes: 1, mountPoint: '/mnt/gone' });
      await ada.ok('vm', 'iso', 'eject', 'lab', gone);
      t.notOk(vm?.isos.has(gone));
      await ada.ok('vm', 'shutdown', 'lab');
      const before = vm?.calls.length;
      await ada.ok('vm', 'iso', 'eject', 'lab', 'tools');
      t.equal(vm?.calls.length, before);
      await ada.ok('vm', 'start', 'lab');
    },
  );

  await t.test('NFS: servers and mounts; no other server', async (t) => {
    t.equal(await text('vm', 'nfs', 'list', 'lab'), 'servers: 10.0.0.5\n');
    t.equal(
      await text('vm', 'nfs', 'mount', 'lab', '10.0.0.5:/export/ref', 'ref'),
      '10.0.0.5:/export/ref  mounted at /mnt/ref, read-only\n',
    );
    t.match((await ada.ok('vm', 'nfs', 'list', 'lab', '--json')).json(), {
      servers: ['10.0.0.5'],
      mounts: [{ name: 'ref', server: '10.0.0.5', path: '/export/ref', mountPoint: '/mnt/ref' }],
    });
    t.equal((await ada.run('vm', 'nfs', 'mount', 'lab', '10.0.0.6:/x', 'x')).code, 77);
    for (const bad of ['host:/x', '10.0.0.5:x', '10.0.0.5:/a/../b', '10.0.0.5:/a b', '10.0.0.5:/a,rw', '10.0.0.5:/a/'])
      t.equal((await ada.run('vm', 'nfs', 'mount', 'lab', bad, 'x')).code, 64, bad);
    await ada.ok('vm', 'nfs', 'unmount', 'lab', 'ref');
    t.equal(vm?.nfsMounts.size, 0);
  });
});
