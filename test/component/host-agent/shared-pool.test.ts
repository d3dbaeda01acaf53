/** Two hosts with one drives folder. The file's own lock, which QEMU takes, decides between them. */
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import * as z from 'zod';
import { run } from '../../../shared/run.ts';
import { bootstrapFor, makeHostBox } from './support/host-box.ts';
import { refusalOf } from './support/refusal.ts';

const [A, B] = ['vm-aaaaaaaaaaaa', 'vm-bbbbbbbbbbbb'];
const ID = 'drv0000000000000001';
const RACES = 6;

t.setTimeout(600_000);

t.test('a pool that two hosts share', async (t) => {
  const one = await makeHostBox({ libvirt: true });
  t.teardown(() => one.remove());
  const two = await makeHostBox({ libvirt: true, drives: one.drives });
  t.teardown(() => two.remove());
  const hosts = [
    { box: one, vmId: A },
    { box: two, vmId: B },
  ];
  for (const { box, vmId } of hosts)
    await box.json(
      ['vm', 'create', vmId, '--image', 'blank', '--bootstrap-fd', 'FD', '--cores', '1', '--memory-mib', '256'],
      bootstrapFor(vmId),
    );
  await one.json(['drive', 'create', '32MiB', '--id', ID]);

  await t.test('H3: both say the same id of it', async (t) => {
    const pools = await Promise.all(hosts.map(({ box }) => box.json(['pool', 'list'])));
    const ids = pools.map((it) => z.array(z.object({ name: z.string(), id: z.string().optional() })).parse(it)[1]?.id);
    t.match(ids[0], /^pool-[0-9a-f]{16}$/);
    t.equal(ids[0], ids[1]);
  });

  await t.test('H3: a drive is taken over, as what it is', async (t) => {
    t.match(await refusalOf(two, ['drive', 'attach', ID, B]), { code: 'not-found' });
    t.match(await refusalOf(two, ['drive', 'create', '32MiB', '--id', ID]), { code: 'already-exists', hint: /adopt/ });
    t.match(await refusalOf(two, ['drive', 'adopt', ID, '--format', 'qcow2', '--confirm', 'drv0000000000000002']), {
      code: 'bad-request',
    });
    t.match(await refusalOf(two, ['drive', 'adopt', ID, '--format', 'raw', '--confirm', ID]), { code: 'not-found' });
    t.match(await two.json(['drive', 'adopt', ID, '--format', 'qcow2', '--confirm', ID]), {
      driveId: ID,
      sizeBytes: 32 * 1024 ** 2,
    });
  });

  await t.test('H3: of two that attach it at once to running VMs one wins; the other’s VM is as it was', async (t) => {
    for (let i = 0; i < RACES; i++) {
      const results = await Promise.all(
        hosts.map(async ({ box, vmId }) => ({
          box,
          vmId,
          ...(await box.agent(['drive', 'attach', ID, vmId, '--json'])),
        })),
      );
      const [winner, second] = results.filter((it) => it.exitCode === 0);
      const [loser] = results.filter((it) => it.exitCode !== 0);
      if (winner === undefined || loser === undefined || second !== undefined)
        return t.fail(`not exactly one winner: ${JSON.stringify(results.map((it) => [it.exitCode, it.stderr]))}`);
      t.equal(loser.exitCode, 75, loser.stderr);
      t.match(loser.stderr, 'is in use by');
      for (const which of [[], ['--inactive']]) t.notMatch(await loser.box.virsh('dumpxml', loser.vmId, ...which), ID);
      for (const args of [
        ['attach', ID, loser.vmId, '--read-only'],
        ['delete', ID, '--confirm', ID],
        ['convert', ID, '--format', 'raw'],
      ])
        t.match(await refusalOf(loser.box, ['drive', ...args]), { code: 'busy' }, args.join(' '));
      await winner.box.json(['drive', 'detach', ID, winner.vmId]);
    }
  });

  await t.test('H3: read-only is for both, and then for nobody to write', async (t) => {
    for (const { box, vmId } of hosts) await box.json(['drive', 'attach', ID, vmId, '--read-only']);
    await two.json(['drive', 'detach', ID, B]);
    t.match(await refusalOf(two, ['drive', 'attach', ID, B]), { code: 'busy' });
    await one.json(['drive', 'detach', ID, A]);
    t.match(await two.json(['drive', 'attach', ID, B]), { attached: [{ driveId: ID, readOnly: false }] });
    t.match(await refusalOf(one, ['drive', 'attach', ID, A, '--read-only']), { code: 'busy' });
    await two.json(['drive', 'detach', ID, B]);
  });

  await t.test('one host’s unfinished files are none of the other’s business', async (t) => {
    const temporary = `.${ID}.raw.0123456789ab.tmp`;
    await one.inNamespace('touch', `${one.drives}/${temporary}`, `${one.drives}/.${A}-root.qcow2.0123456789ab.tmp`);
    t.strictSame(await two.json(['reconcile']), []);
    t.ok((await readdir(one.drives)).includes(temporary));
    t.match(JSON.stringify(await one.json(['reconcile'])), `${A}-root`);
  });

  /** Begun by the one and cut short there; meanwhile the other has taken the drive over, and its VM has it. */
  const cutShortAndAway = async (n: number, verb: string, point: string) => {
    const id = `drv${String(n).padStart(16, '0')}`;
    await one.json(['drive', 'create', '16MiB', '--id', id, '--format', 'raw']);
    const script = 'test/component/host-agent/support/create-until.ts';
    const { exitCode, stderr } = await one.node(script, [one.config, point, verb, id]);
    t.equal(exitCode, null, `${point} was reached${stderr}`);
    await two.json(['drive', 'adopt', id, '--format', 'raw', '--confirm', id]);
    await two.json(['drive', 'attach', id, B]);
    return { id, raw: `${id}.raw` };
  };
  const there = async (name: string) => (await readdir(one.drives)).includes(name);

  await t.test('H9: a file that the one was about to remove stays while the other uses it', async (t) => {
    const { id, raw } = await cutShortAndAway(2, 'drive-delete', 'drive.delete:file');
    t.match(await one.json(['reconcile']), [{ outcome: 'reported', what: /deleting.*is in use/ }]);
    t.match(await refusalOf(one, ['drive', 'info', id]), { code: 'busy' });
    t.ok(await there(raw));
    await two.json(['drive', 'detach', id, B]);
    t.match(await refusalOf(one, ['drive', 'info', id]), { code: 'not-found' }, 'what was begun is ended first');
    t.notOk(await there(raw));
    await two.json(['reconcile']);
  });

  await t.test('H9: what the other has written since the one converted it is not removed', async (t) => {
    const { id, raw } = await cutShortAndAway(3, 'drive-convert', 'drive.convert:old');
    t.match(await one.json(['reconcile']), [{ outcome: 'reported', what: /converting.*is in use/ }]);
    await two.json(['drive', 'detach', id, B]);
    const path = join(one.drives, raw);
    await run({ file: 'qemu-io', args: ['-f', 'raw', '-c', 'write -P 7 1M 64k', path], timeoutMs: 20_000 });
    t.match(await one.json(['reconcile']), [{ outcome: 'reported', what: /converting.*was written to/ }]);
    t.match(await refusalOf(one, ['drive', 'attach', id, A]), { code: 'bad-data', hint: /move/ });
    t.ok(await there(raw));
    await rename(path, join(one.folder, raw));
    t.match(await one.json(['drive', 'info', id]), { format: 'qcow2' }, 'a person has decided');
    await one.json(['drive', 'delete', id, '--confirm', id]);
    await two.json(['reconcile']);
  });

  await t.test('H3: a VM of the other that only reads a raw drive is in the way all the same', async (t) => {
    const id = 'drv0000000000000004';
    await one.json(['drive', 'create', '16MiB', '--id', id, '--format', 'raw']);
    await two.json(['drive', 'adopt', id, '--format', 'raw', '--confirm', id]);
    await two.json(['drive', 'attach', id, B, '--read-only']);
    for (const args of [
      ['delete', id, '--confirm', id],
      ['convert', id, '--format', 'qcow2'],
      ['attach', id, A],
    ])
      t.match(await refusalOf(one, ['drive', ...args]), { code: 'busy' }, args.join(' '));
    await two.json(['drive', 'detach', id, B]);
    await one.json(['drive', 'delete', id, '--confirm', id]);
    await two.json(['reconcile']);
  });

  await t.test('grown and deleted by the one, it is so for the other', async (t) => {
    await one.json(['drive', 'resize', ID, '48MiB']);
    t.match(await two.json(['drive', 'info', ID]), { sizeBytes: 48 * 1024 ** 2 });
    await one.json(['drive', 'delete', ID, '--confirm', ID]);
    t.match(JSON.stringify(await two.json(['reconcile'])), /drive .* of another host is gone/);
    t.match(await refusalOf(two, ['drive', 'info', ID]), { code: 'not-found' });
  });
});
