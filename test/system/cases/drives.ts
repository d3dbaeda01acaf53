/** Drives: what holds data is kept, and what nobody has the key of stays shut. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { run } from '../../../shared/run.ts';
import { VM, type VmSite } from '../support/vm-site.ts';

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Leaves a drive `data` open and mounted in the VM, with the file `kept`. */
export function driveCases(t: Test, { site, owner, vmId, vm, call }: VmSite): void {
  const drive = async (name: string, ...options: string[]) =>
    (await owner.connect<{ driveId: string }>(['drive', 'create', name, '--size', '64MiB', ...options])).driveId;

  t.test('C7: a drive that holds data is not formatted, and nothing on it changes', async (t) => {
    const driveId = await drive('full', '--format', 'raw');
    const file = join(site.folders.drives, `${driveId}.raw`);
    await run({ file: 'mke2fs', args: ['-q', '-t', 'ext4', '-L', 'precious', file], timeoutMs: 20_000 });
    const before = await sha256(file);
    await owner.connect(['drive', 'attach', 'full', VM]);
    await t.rejects(owner.connect(['drive', 'format', 'full']), { code: 'not-blank', message: /ext4/, hint: /drv/ });
    t.equal(await sha256(file), before, 'byte for byte');
    t.match(await owner.connect(['drive', 'format', 'full', '--overwrite', driveId]), { state: 'locked' });
    await t.rejects(
      owner.connect(['drive', 'delete', 'full', '--confirm', driveId]),
      { code: /busy|wrong-state/ },
      'an attached drive is not deleted',
    );
    await owner.connect(['drive', 'detach', 'full']);
    await owner.connect(['drive', 'delete', 'full', '--confirm', driveId]);
  });

  t.test(
    'C7: a key that does not fit opens nothing and harms nothing; xfs on raw works like ext4 on qcow2',
    async (t) => {
      const driveId = (
        await owner.connect<{ driveId: string }>(['drive', 'create', 'data', '--size', '512MiB', '--format', 'raw'])
      ).driveId;
      await owner.connect(['drive', 'attach', 'data', VM]);
      await owner.connect(['drive', 'format', 'data', '--fs', 'xfs']);
      const wrong = { driveId, key: Buffer.alloc(32, 7).toString('base64'), name: 'data' };
      await t.rejects(call(owner, { kind: 'control', name: 'driveOpen', vmId, params: wrong, body: {} }), {
        code: 'wrong-key',
        hint: /./,
      });
      t.match(await owner.connect(['drive', 'open', 'data']), { state: 'mounted', mountPoint: '/mnt/data' });
      await vm.request('PUT', '/file?path=/mnt/data/kept', Buffer.from('kept'));
      await t.rejects(
        owner.connect(['drive', 'format', 'data', '--overwrite', driveId]),
        { code: /busy|wrong-state/ },
        'a drive in use is never formatted',
      );
    },
  );

  t.test('H3: a drive that is attached is not attached again', async (t) => {
    await t.rejects(owner.connect(['drive', 'attach', 'data', VM]), { code: 'busy', message: /attached/ });
    const { driveId } = await owner.connect<{ driveId: string }>(['drive', 'show', 'data']);
    await t.rejects(site.hostAgent(['drive', 'delete', driveId, '--confirm', driveId]), /attached/);
  });
}
