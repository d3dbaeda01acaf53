/** ISO images in and out of VMs on a libvirt of the test's own. The machines run SeaBIOS on a blank disk: nothing needs to boot. */
import { mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import * as z from 'zod';
import { isoIdOf } from '../../../host-agent/isos/isos.ts';
import { isoFileSchema } from '../../../shared/agent-api/isos.ts';
import { vmStatusSchema } from '../../../shared/agent-api/schemas.ts';
import { bootstrapFor, createVmArgs, makeHostBox } from './support/host-box.ts';

const [A, B] = ['vm-aaaaaaaaaaaa', 'vm-bbbbbbbbbbbb'];
const errorSchema = z.object({
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }),
});

t.setTimeout(600_000);

t.test('ISO images', async (t) => {
  const box = await makeHostBox({ libvirt: true });
  t.teardown(() => box.remove());
  const vm = async (args: string[]) => vmStatusSchema.parse(await box.json(args));
  const list = async () => z.array(isoFileSchema).parse(await box.json(['iso', 'list']));
  const refusal = async (args: string[]) => {
    const { stderr } = await box.agent([...args, '--json']);
    return errorSchema.parse(JSON.parse(stderr.trim().split('\n').at(-1) ?? '')).error;
  };
  const pool = (name: string) => join(box.isos, name);

  await t.test('C14: only files of the pool with plain names are images', async (t) => {
    t.strictSame(await list(), []);
    for (const name of ['tools.iso', 'Debian_12.5+firmware.iso']) await writeFile(pool(name), '');
    await truncate(pool('tools.iso'), 2 ** 20);
    await symlink('tools.iso', pool('alias.iso'));
    await symlink('/etc/passwd', pool('passwd.iso'));
    await symlink(join(box.folder, 'state'), pool('state.iso'));
    await symlink('nowhere.iso', pool('dangling.iso'));
    await symlink('loop.iso', pool('loop.iso'));
    await mkdir(pool('folder.iso'));
    for (const name of ['odd name.iso', '.hidden.iso', '-rf.iso', 'no-image.txt', `${'x'.repeat(129)}.iso`, '.iso'])
      await writeFile(pool(name), '');
    const found = await list();
    t.strictSame(
      found.map(({ name, sizeBytes }) => `${name} ${sizeBytes}`),
      ['Debian_12.5+firmware 0', `alias ${2 ** 20}`, `tools ${2 ** 20}`],
    );
    t.equal(found.at(-1)?.isoId, 'iso4145e12c7e0ab935', 'SHA-256 of "tools.iso"');
  });

  const [, , tools] = await list();
  const isoId = tools?.isoId ?? '';
  for (const id of [A, B]) {
    await box.json(createVmArgs(id), bootstrapFor(id));
  }

  await t.test('C14: it is a read-only disk in as many VMs as want it, and no drive', async (t) => {
    for (const id of [A, B]) t.match(await vm(['iso', 'attach', isoId, id]), { vmId: id, attached: [], isos: [isoId] });
    t.match(await vm(['iso', 'attach', isoId, A]), { isos: [isoId] }, 'repeating it succeeds');
    for (const which of [[], ['--inactive']]) {
      const xml = await box.virsh('dumpxml', A, ...which);
      const disk = /<disk [^>]*>(?:(?!<\/disk>)[\s\S])*<serial>iso[\s\S]*?<\/disk>/.exec(xml)?.[0] ?? '';
      t.match(disk, /<readonly\/>/);
      t.match(disk, /device='disk'/);
      t.match(disk, `<serial>${isoId}</serial>`);
      t.match(disk, `<source file='${pool('tools.iso')}'`);
      t.match(disk, /type='raw'/);
    }
    t.match(await box.json(['vm', 'list']), [{ isos: [isoId] }, { isos: [isoId] }]);
    t.match(await refusal(['iso', 'attach', 'iso00000000000000ff', A]), { code: 'not-found', hint: /NAME\.iso/ });
    const passwd = isoIdOf('passwd.iso');
    t.match(await refusal(['iso', 'attach', passwd, A]), { code: 'not-found' }, 'a link out of the pool, by its id');
    t.match(await refusal(['iso', 'attach', isoId, 'vm-cccccccccccc']), { code: 'not-found' });
  });

  await t.test('C14: it is out when the guest has let go; a repeat finishes what a crash cut short', async (t) => {
    t.match((await vm(['iso', 'eject', isoId, B])).isos, undefined);
    for (const which of [[], ['--inactive']]) t.notMatch(await box.virsh('dumpxml', B, ...which), isoId);
    t.match((await vm(['iso', 'eject', isoId, B])).isos, undefined, 'repeating it succeeds');
    const script = 'test/component/host-agent/support/create-until.ts';
    await box.node(script, [box.config, 'iso.eject:config', 'iso-eject', isoId, 'kill', A]);
    t.notMatch(await box.virsh('dumpxml', A), isoId, 'out of the running machine');
    t.match(await box.virsh('dumpxml', A, '--inactive'), isoId, 'and still in its next start');
    t.match(await vm(['vm', 'start', A]), { isos: [isoId] });
    t.match((await vm(['iso', 'eject', isoId, A])).isos, undefined);
    t.notMatch(await box.virsh('dumpxml', A, '--inactive'), isoId);
  });

  await t.test('an image that has gone from the pool stops no VM from starting, and can be ejected', async (t) => {
    await vm(['iso', 'attach', isoId, A]);
    await vm(['vm', 'shutdown', A, '--wait', '0', '--force']);
    await rm(pool('tools.iso'));
    t.match(await vm(['vm', 'start', A]), { state: 'running' });
    t.match((await vm(['iso', 'eject', isoId, A])).isos, undefined);
    t.notMatch(await box.virsh('dumpxml', A, '--inactive'), isoId);
  });
});
