/** What can be wrong with a host: no libvirt, no room, no configuration. Each is one clear error, and nothing is changed. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { bootstrapFor, makeHostBox } from './support/host-box.ts';
import { daemonStoppedAfter } from './support/stopped-daemon.ts';

t.setTimeout(180_000);

t.test('a host in trouble', async (t) => {
  const box = await makeHostBox({ libvirt: false, drivesTmpfs: '2100k' });
  t.teardown(() => box.remove());
  const id = 'vm-aaaaaaaaaaaa';

  await t.test('libvirt is not running: the error says so and what to type; nothing was made', async (t) => {
    for (const args of [
      ['vm', 'create', id, '--image', 'blank', '--bootstrap-fd', 'FD'],
      ['vm', 'list'],
      ['vm', 'start', id],
      ['vm', 'shutdown', id],
      ['vm', 'delete', id],
      ['drive', 'list'],
      ['reconcile'],
    ]) {
      const result = await box.agent(args, bootstrapFor(id));
      t.equal(result.exitCode, 69, args.join(' '));
      t.match(result.stderr, /libvirt does not answer[\s\S]*systemctl start libvirtd/);
    }
    t.notOk((await readdir(box.drives)).some((name) => name !== '.vmc-pool'));
    t.notOk((await readdir(box.stateDir)).includes('vms'));
    const doctor = await box.agent(['doctor']);
    t.equal(doctor.exitCode, 69);
    t.match(doctor.stdout, /FAIL +libvirt/);
    t.match(doctor.stdout, /ok +drives pool/);
  });

  await t.test(
    'H10: the daemon enforces the firewall all the same, says what is missing, and stops when told',
    async (t) => {
      const { seen, ended } = await daemonStoppedAfter(box, ['not-linked', 'libvirt-down']);
      t.strictSame(ended, [0, null]);
      t.ok(seen.has('reconcile-failed'));
      t.ok(seen.has('stopped'));
      t.match(await box.agent(['firewall', 'check']), { exitCode: 0 });
    },
  );

  await t.test(
    'H1: a pool without space: the error names what is needed and what there is; nothing is left',
    async (t) => {
      const refused = await box.agent(['drive', 'create', '64MiB']);
      t.equal(refused.exitCode, 74);
      t.match(refused.stderr, /64 MiB are asked for; the pool .* has 2 MiB free/);
      await writeFile(join(box.drives, 'theirs'), Buffer.alloc(1.5 * 1024 * 1024));
      t.match(await box.agent(['drive', 'create', '16MiB']), {
        exitCode: 74,
        stderr: /0 MiB free and must keep 1 MiB/,
      });
      t.strictSame((await readdir(box.drives)).sort(), ['.vmc-pool', 'theirs']);
      t.strictSame(await readdir(join(box.stateDir, 'drives')).catch(() => []), []);
    },
  );

  await t.test('no configuration, or a wrong one', async (t) => {
    const missing = await box.agent(['--config', '/nowhere/host-agent.toml', 'vm', 'list']);
    t.equal(missing.exitCode, 78);
    t.match(missing.stderr, '/nowhere/host-agent.toml');
    t.match(await box.agent(['vm', 'start', '../etc']), { exitCode: 64 });
    t.match(await box.agent(['drive', 'create', '1']), { exitCode: 64 });
    t.match(await box.agent(['drive', 'create', '1GiB', '--format', 'vmdk']), { exitCode: 64 });
  });
});
